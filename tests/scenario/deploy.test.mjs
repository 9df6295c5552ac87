// What can be known of the image, the compose file and the units without an
// engine: that they agree with the programs, and keep what they promise.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)),
  '../..');
const bin = path.resolve(root, process.env.BUILD ?? 'build', 'bin');
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
const run = (file, ...args) => spawnSync(file, args, { encoding: 'utf8' });
const programs = ['longhaul', 'longhaul-submitter', 'longhaul-worker',
  'longhaul-status', 'fake-claude'];

const settings = new Set([...read('common/service/config_options.c')
  .matchAll(/"((?:LONGHAUL|ANTHROPIC)_[A-Z_]+)"/g)].map((m) => m[1]));

function environmentFile(name) {
  const pairs = read(name).split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(/=(.*)/s).slice(0, 2));
  return Object.fromEntries(pairs);
}

// Compose's own way with ${NAME:-other}, ${NAME:+other} and ${NAME}.
function interpolate(text, env) {
  return text.replace(/\$\{([A-Z_]+)(?::([-+])([^}]*))?\}/g,
    (_, name, kind, other) => {
      const set = (env[name] ?? '') !== '';
      if (kind === '+') return set ? other : '';
      return set ? env[name] : other ?? '';
    });
}

function compose(env) {
  const done = spawnSync('python3', ['-c',
    'import sys, json, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'],
  { encoding: 'utf8', input: interpolate(read('docker-compose.yml'), env) });
  assert.equal(done.status, 0, done.stderr);
  return JSON.parse(done.stdout);
}

const haveYaml = run('python3', '-c', 'import yaml').status === 0;

describe('docker-compose.yml', {
  skip: haveYaml ? false : 'python3-yaml is not installed',
}, () => {
  const plain = haveYaml ? compose({}) : undefined;
  const own = ['submitter', 'worker', 'status-api', 'fake-claude'];

  test('it has the services of one origin', () => {
    assert.deepEqual(Object.keys(plain.services).sort(), ['fake-claude',
      'nginx', 'redis', 'status-api', 'submitter', 'worker']);
    assert.equal(plain.services.worker.deploy.replicas, 2);
  });

  test('redis syncs every write and evicts nothing', () => {
    const command = plain.services.redis.command;
    const after = (flag) => command[command.indexOf(flag) + 1];
    assert.equal(command[0], 'redis-server');
    assert.equal(after('--appendonly'), 'yes');
    assert.equal(after('--appendfsync'), 'always');
    assert.equal(after('--maxmemory-policy'), 'noeviction');
    assert.deepEqual(plain.services.redis.volumes, ['redis-data:/data']);
    assert.match(plain.services.redis.healthcheck.test.join(' '),
      /redis-cli ping/);
  });

  test('redis-server takes the flags as they are written', {
    skip: run('redis-server', '--version').status !== 0
      && 'redis-server is not installed',
  }, () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'longhaul-deploy-'));
    const socket = path.join(dir, 'redis.sock');
    const pid = path.join(dir, 'redis.pid');
    const cli = (...args) => run('redis-cli', '-s', socket, ...args).stdout;
    try {
      const started = run('redis-server',
        ...plain.services.redis.command.slice(1), '--port', '0',
        '--unixsocket', socket, '--dir', dir, '--daemonize', 'yes',
        '--pidfile', pid, '--logfile', path.join(dir, 'log'));
      assert.equal(started.status, 0, started.stdout + started.stderr);
      const deadline = Date.now() + 10_000;
      while (cli('ping').trim() !== 'PONG') {
        assert.ok(Date.now() < deadline,
          fs.readFileSync(path.join(dir, 'log'), 'utf8'));
      }
      for (const [name, value] of [['appendonly', 'yes'], ['save', ''],
        ['appendfsync', 'always'], ['maxmemory-policy', 'noeviction'],
        ['maxmemory', String(2 * 1024 ** 3)]]) {
        assert.equal(cli('config', 'get', name), `${name}\n${value}\n`);
      }
    } finally {
      if (fs.existsSync(pid)) {
        process.kill(Number(fs.readFileSync(pid, 'utf8')), 'SIGTERM');
        while (fs.existsSync(pid)) run('sleep', '0.02');
      }
      fs.rmSync(dir, { recursive: true, force: true });
    }
  });

  test('no container is root, writes its image or has a capability', () => {
    for (const [name, service] of Object.entries(plain.services)) {
      assert.match(service.user, /^[1-9]\d*:[1-9]\d*$/, name);
      assert.equal(service.read_only, true, name);
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
      assert.deepEqual(service.tmpfs, ['/tmp'], name);
      assert.equal(service.privileged, undefined, name);
      assert.ok(service.healthcheck.test.length > 1, name);
    }
  });

  test('programs are asked for their own health, as they can be', () => {
    for (const [name, program] of [['submitter', 'longhaul-submitter'],
      ['worker', 'longhaul-worker'], ['status-api', 'longhaul-status']]) {
      assert.deepEqual(plain.services[name].command, [program]);
      assert.deepEqual(plain.services[name].healthcheck.test,
        ['CMD', program, '--health']);
      if (!fs.existsSync(path.join(bin, program))) continue;
      assert.match(run(path.join(bin, program), '--help').stdout,
        /--health\b/);
    }
    // Port 0 could not be found again by the health check.
    assert.match(plain.services.worker.environment.LONGHAUL_WORKER_LISTEN,
      /:[1-9]\d*$/);
  });

  test('only nginx is published, on loopback, and knows both servers', () => {
    for (const [name, service] of Object.entries(plain.services)) {
      if (name !== 'nginx') assert.equal(service.ports, undefined, name);
    }
    assert.deepEqual(plain.services.nginx.ports, ['127.0.0.1:8080:8080']);
    const site = read('deploy/nginx/longhaul.conf');
    const port = (address) => address.slice(address.lastIndexOf(':'));
    const submitter = plain.services.submitter.environment;
    const status = plain.services['status-api'].environment;
    assert.ok(site.includes(
      `server submitter${port(submitter.LONGHAUL_SUBMITTER_LISTEN)} `));
    assert.ok(site.includes(
      `server status-api${port(status.LONGHAUL_STATUS_LISTEN)} `));
    for (const mount of plain.services.nginx.volumes) {
      assert.ok(fs.existsSync(path.join(root, mount.split(':')[0])), mount);
    }
    assert.ok(read('deploy/nginx/nginx.conf').includes(
      plain.services.nginx.volumes[1].split(':')[1]));
  });

  test('only workers can leave, and only they see the key', () => {
    const inner = Object.entries(plain.networks)
      .filter(([, network]) => network.internal).map(([name]) => name);
    assert.deepEqual(inner.sort(), ['back', 'front', 'simulator']);
    for (const name of [...own, 'redis']) {
      const outer = plain.services[name].networks
        .filter((network) => !inner.includes(network));
      assert.deepEqual(outer, name === 'worker' ? ['upstream'] : [], name);
    }
    for (const [name, service] of Object.entries(plain.services)) {
      assert.equal((service.secrets ?? []).includes('anthropic_api_key'),
        name === 'worker', name);
      assert.equal('ANTHROPIC_API_KEY' in (service.environment ?? {}), false);
    }
    for (const name of ['submitter', 'status-api']) {
      assert.ok(plain.services[name].secrets.includes('longhaul_keys'));
      assert.equal(plain.services[name].environment.LONGHAUL_KEYS_FILE,
        '/run/secrets/longhaul_keys');
    }
  });

  test('every setting that is given is one that the programs know', () => {
    assert.ok(settings.size > 20, 'the table of settings was read');
    for (const name of own) {
      const service = plain.services[name];
      for (const key of Object.keys(service.environment ?? {})) {
        assert.ok(settings.has(key), `${name}: ${key}`);
      }
    }
    for (const name of ['upstream', 'upstream-claude']) {
      const env = environmentFile(`deploy/compose/${name}.env`);
      for (const key of Object.keys(env)) assert.ok(settings.has(key), key);
    }
  });

  test('without a key the simulator answers, with one Claude does', () => {
    const real = compose({ ANTHROPIC_API_KEY_FILE: './secrets/claude' });
    const upstream = (document) =>
      environmentFile(document.services.worker.env_file[0]);
    assert.deepEqual(upstream(plain), {
      ANTHROPIC_BASE_URL: 'http://fake-claude:8090', LONGHAUL_SIMULATED: '1' });
    assert.deepEqual(upstream(real), {
      ANTHROPIC_BASE_URL: 'https://api.anthropic.com',
      LONGHAUL_SIMULATED: '0' });
    assert.deepEqual(plain.services['fake-claude'].command,
      ['fake-claude', '--listen', '0.0.0.0:8090']);
    assert.equal(real.secrets.anthropic_api_key.file, './secrets/claude');
    assert.ok(fs.existsSync(path.join(root,
      plain.secrets.anthropic_api_key.file)));
    // All programs must agree, and data of the two kinds must not meet.
    for (const name of own) {
      assert.deepEqual(real.services[name].env_file,
        real.services.worker.env_file);
    }
    for (const volume of ['redis-data', 'results']) {
      assert.notEqual(plain.volumes[volume].name, real.volumes[volume].name);
    }
  });

  test('the store is one volume of the three programs that use it', () => {
    for (const name of ['submitter', 'worker', 'status-api']) {
      assert.deepEqual(plain.services[name].volumes,
        ['results:/var/lib/longhaul']);
      assert.equal(plain.services[name].environment.LONGHAUL_STORE_URL,
        'sqlite:/var/lib/longhaul/results.db');
    }
  });

  test('a worker hands its calls back before it is killed', () => {
    const worker = plain.services.worker;
    assert.ok(parseInt(worker.environment.LONGHAUL_GRACE, 10)
      < parseInt(worker.stop_grace_period, 10));
  });

  test('the settings pass the programs\' own check', {
    skip: !fs.existsSync(path.join(bin, 'longhaul-worker'))
      && 'the programs are not built',
  }, () => {
    for (const [name, program] of [['submitter', 'longhaul-submitter'],
      ['worker', 'longhaul-worker'], ['status-api', 'longhaul-status']]) {
      const keys = fs.mkdtempSync(path.join(os.tmpdir(), 'longhaul-keys-'));
      try {
        fs.writeFileSync(path.join(keys, 'keys'),
          `app ${'0123456789abcdef'.repeat(4)} submit,read,operate\n`);
        const service = plain.services[name];
        const env = { PATH: process.env.PATH,
          ...environmentFile(service.env_file[0]), ...service.environment };
        if (env.LONGHAUL_KEYS_FILE) {
          env.LONGHAUL_KEYS_FILE = path.join(keys, 'keys');
        }
        if (env.ANTHROPIC_API_KEY_FILE) {
          env.ANTHROPIC_API_KEY_FILE = path.join(root,
            plain.secrets.anthropic_api_key.file);
        }
        const done = spawnSync(path.join(bin, program), ['--check'],
          { encoding: 'utf8', env, cwd: keys });
        assert.equal(done.status, 0, `${name}: ${done.stderr}`);
      } finally {
        fs.rmSync(keys, { recursive: true, force: true });
      }
    }
  });

  test('docs/deploy.md tells every variable of the compose file', () => {
    const docs = read('docs/deploy.md');
    for (const [, name] of read('docker-compose.yml')
      .matchAll(/\$\{([A-Z_]+)/g)) {
      assert.ok(docs.includes(`\`${name}\``), name);
    }
  });
});

describe('Dockerfile', () => {
  const dockerfile = read('Dockerfile').replaceAll('\\\n', ' ');
  const [build, final] = dockerfile.split(/^FROM /m).slice(1);
  const packages = (stage) => /apt-get install -y([^&]*)/.exec(stage)[1]
    .split(/\s+/).filter((word) => word !== '' && !word.startsWith('-'));

  test('it ends as a user that is not root, and holds no secret', () => {
    assert.match(final, /^USER 10001:10001$/m);
    assert.doesNotMatch(dockerfile, /^(ENV|ARG)\b/m);
    assert.doesNotMatch(dockerfile, /sk-ant|API_KEY|secrets/);
    const ignored = read('.dockerignore').split('\n');
    for (const name of ['.git', 'secrets', '.env', 'var', 'build']) {
      assert.ok(ignored.includes(name), name);
    }
  });

  test('it builds with the packages that make asks for', () => {
    const wanted = read('mk/deps.sh').split('\n')
      .filter((line) => /^build +\S+ +(lib|cmd|file) /.test(line))
      .map((line) => line.split(/ +/)[1])
      .filter((name) => name !== 'redis-server');
    assert.ok(wanted.length >= 9);
    for (const name of wanted) assert.ok(packages(build).includes(name), name);
  });

  test('what the build reads is not kept out of it', () => {
    const ignored = read('.dockerignore').split('\n')
      .filter((line) => /^[\w.-]+$/.test(line));
    for (const name of ['Makefile', 'mk', 'common', 'submitter', 'worker',
      'status-api', 'cli', 'schema', 'tests']) {
      assert.ok(!ignored.includes(name), name);
    }
  });

  const release = fs.existsSync('/etc/os-release')
    ? fs.readFileSync('/etc/os-release', 'utf8') : '';
  const debian12 = /^ID=debian$/m.test(release)
    && /^VERSION_ID="12"$/m.test(release);
  test('it has every library that the programs are linked with', {
    skip: debian12 ? false : 'the names of packages are those of Debian 12',
  }, () => {
    const present = programs.filter((name) =>
      fs.existsSync(path.join(bin, name)));
    assert.ok(present.length > 0, 'the programs are built');
    for (const program of present) {
      // What the program itself asks for; the loader's list has all the
      // rest too, which packages bring along.
      const direct = [...run('readelf', '-d', path.join(bin, program)).stdout
        .matchAll(/\(NEEDED\).*\[([^\]]+)\]/g)].map((m) => m[1]);
      const found = run('ldd', path.join(bin, program)).stdout;
      assert.ok(direct.includes('libc.so.6'), program);
      for (const library of direct) {
        const at = new RegExp(`${library.replace(/[.+]/g, '\\$&')} => (\\S+)`)
          .exec(found);
        assert.ok(at, `${program}: ${library}`);
        const owner = ownerOf(at[1]);
        if (['libc6', 'libgcc-s1'].includes(owner)) continue;
        assert.ok(packages(final).includes(owner), `${library}: ${owner}`);
      }
    }
  });

  // dpkg knows a file under /lib or under /usr/lib, which are the same.
  function ownerOf(file) {
    const real = fs.realpathSync(file);
    for (const name of [real, real.replace(/^\/usr\/lib\//, '/lib/')]) {
      const done = run('dpkg', '-S', name);
      if (done.status === 0) return done.stdout.split(':')[0];
    }
    return `nobody owns ${real}`;
  }
});

describe('systemd units', () => {
  const dir = path.join(root, 'deploy/systemd');
  const units = fs.readdirSync(dir).filter((name) => name.endsWith('.service'));
  const haveAnalyze = run('systemd-analyze', '--version').status === 0;

  test('there is one for each program', () => {
    assert.deepEqual(units.sort(), ['longhaul-status.service',
      'longhaul-submitter.service', 'longhaul-worker@.service']);
  });

  for (const unit of units) {
    const text = fs.readFileSync(path.join(dir, unit), 'utf8');

    test(`${unit} names programs and settings that exist`, () => {
      const program = /^ExecStart=\/usr\/local\/bin\/(\S+)$/m.exec(text)[1];
      assert.ok(programs.includes(program));
      for (const [, name] of text.matchAll(/^Environment=([A-Z_]+)=/gm)) {
        assert.ok(settings.has(name), name);
      }
      assert.equal(text.includes('anthropic_api_key'),
        unit === 'longhaul-worker@.service', 'only workers see the key');
    });

    test(`${unit} is correct and well sealed, says systemd`, {
      skip: haveAnalyze ? false : 'systemd-analyze is not installed',
    }, () => {
      const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'longhaul-unit-'));
      try {
        // systemd wants the program to be there; any will do.
        const copy = path.join(scratch, unit);
        fs.writeFileSync(copy, text.replace(/^ExecStart=\S+/m,
          'ExecStart=/bin/true'));
        const verify = run('systemd-analyze', 'verify', '--man=no', copy);
        const own = verify.stderr.split('\n')
          .filter((line) => line.includes('longhaul'));
        assert.deepEqual(own, []);
        assert.equal(verify.status, 0, verify.stderr);
        const security = run('systemd-analyze', 'security', '--no-pager',
          '--offline=yes', '--threshold=20', copy);
        assert.equal(security.status, 0, security.stdout.slice(-200));
        assert.match(security.stdout, /Overall exposure level/);
      } finally {
        fs.rmSync(scratch, { recursive: true, force: true });
      }
    });
  }
});
