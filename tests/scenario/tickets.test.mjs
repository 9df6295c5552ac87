// examples/tickets.csv is real input: well-formed, varied, about nobody.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { parse } from './lib/csv.mjs';

const bytes = fs.readFileSync(
  new URL('../../examples/tickets.csv', import.meta.url));
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  .decode(bytes);

const [header, ...rows] = parse(text);
const tickets = rows.map((row) =>
  Object.fromEntries(header.map((name, i) => [name, row[i]])));

test('the table has its columns, and every row has all of them', () => {
  assert.deepEqual(header, ['ticket_id', 'created_at', 'customer', 'language',
    'channel', 'product', 'subject', 'body']);
  assert.ok(rows.length >= 210, `${rows.length} rows`);
  for (const row of rows) {
    assert.equal(row.length, header.length, row[0]);
    for (const field of row) assert.notEqual(field.trim(), '', row[0]);
  }
});

test('the file is UTF-8 without a mark, with bare line feeds', () => {
  assert.notEqual(text.charCodeAt(0), 0xfeff);
  assert.ok(!text.includes('\r') && !text.includes('\ufffd'));
});

test('ids are unique and times are in order', () => {
  assert.equal(new Set(tickets.map((t) => t.ticket_id)).size, tickets.length);
  let last = '';
  for (const t of tickets) {
    assert.match(t.ticket_id, /^T-\d{5}$/);
    assert.equal(new Date(t.created_at).toISOString(),
      t.created_at.replace('Z', '.000Z'));
    assert.ok(t.created_at >= last, t.ticket_id);
    last = t.created_at;
  }
});

test('four languages and mixtures are there, as their scripts show', () => {
  const by = (language) => tickets.filter((t) => t.language === language);
  assert.ok(by('en').length >= 100 && by('vi').length >= 30
    && by('zh').length >= 30 && by('es').length >= 25);
  assert.ok(tickets.filter((t) => t.language.includes('/')).length >= 4);
  const all = (list) => list.map((t) => t.body).join('\n');
  for (const t of by('zh')) assert.match(t.body, /\p{Script=Han}/u);
  for (const t of by('en')) assert.doesNotMatch(t.body, /\p{Script=Han}/u);
  assert.match(all(by('vi')), /[ạảấầẩẫậắằẳẵặẹẻẽếềểễệ]/);
  assert.match(all(by('es')), /[¿¡ñ]/);
});

test('the bodies are as unlike as those of real people', () => {
  const all = tickets.map((t) => t.body);
  assert.ok(all.filter((b) => b.includes('\n')).length >= 60, 'line ends');
  assert.ok(all.filter((b) => b.includes('"')).length >= 20, 'quotes');
  assert.ok(all.filter((b) => /\p{Extended_Pictographic}/u.test(b)).length
    >= 10, 'emoji');
  assert.ok(all.filter((b) => b.length < 90).length >= 25, 'short');
  assert.ok(all.filter((b) => b.length > 700).length >= 12, 'long');
  assert.ok(all.some((b) => b.length > 2500), 'very long');
});

// Runs of eight words (or of eight signs where words have no spaces) that two
// bodies share: none would be chance, a template would share most of them.
function shingles(body) {
  const words = body.toLowerCase().match(
    /\p{Script=Han}|[\p{L}\p{M}\p{N}']+/gu) ?? [];
  const set = new Set();
  for (let i = 0; i + 8 <= words.length; i++) {
    set.add(words.slice(i, i + 8).join(' '));
  }
  return set;
}

function trigrams(body) {
  const plain = body.toLowerCase().replace(/\s+/g, ' ');
  const set = new Set();
  for (let i = 0; i + 3 <= plain.length; i++) set.add(plain.slice(i, i + 3));
  return set;
}

function overlap(a, b) {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  let shared = 0;
  for (const part of small) if (large.has(part)) shared++;
  return { shared, jaccard: shared / Math.max(1, a.size + b.size - shared) };
}

test('no two tickets come from one template', () => {
  const runs = tickets.map((t) => shingles(t.body));
  const threes = tickets.map((t) => trigrams(t.body));
  for (let i = 0; i < tickets.length; i++) {
    for (let j = i + 1; j < tickets.length; j++) {
      const pair = `${tickets[i].ticket_id} and ${tickets[j].ticket_id}`;
      assert.ok(overlap(runs[i], runs[j]).shared <= 1,
        `${pair} share runs of eight words`);
      const { jaccard } = overlap(threes[i], threes[j]);
      assert.ok(jaccard < 0.4, `${pair} are ${jaccard.toFixed(2)} alike`);
    }
  }
  const subjects = new Set(tickets.map((t) => t.subject.toLowerCase()));
  assert.ok(subjects.size >= tickets.length - 3, 'subjects repeat');
});

test('addresses and numbers can belong to nobody', () => {
  for (const [address] of text.matchAll(/[\w.+-]+@[\w-]+(\.[\w-]+)+/g)) {
    assert.match(address, /@example\.(com|org|net)$/, address);
  }
  for (const [url] of text.matchAll(/https?:\/\/[^\s"/]+/g)) {
    assert.match(url, /([/.])example\.(com|org|net)$/, url);
  }
  for (const [number] of text.matchAll(/\b555-\d{4}\b/g)) {
    assert.match(number, /^555-01\d\d$/);
  }
});

test('every field that the prompt names is a column', () => {
  const prompt = fs.readFileSync(
    new URL('../../examples/summarise.md', import.meta.url), 'utf8');
  const names = [...prompt.matchAll(/\{\{([^}]*)\}\}/g)].map((m) => m[1]);
  assert.deepEqual([...new Set(names)].sort(), ['body', 'product', 'subject']);
  for (const name of names) assert.ok(header.includes(name), name);
  // What all tickets share comes first and is long enough to be worth a
  // cache; what differs comes last.
  assert.ok(prompt.indexOf('{{') > 3000);
  assert.ok(prompt.lastIndexOf('{{body}}') > prompt.indexOf('{{product}}'));
});
