// Reading CSV as strictly as the examples are written.

import assert from 'node:assert/strict';

// RFC 4180, strictly: a quote inside a bare field, or anything behind a
// closing quote, is an error.
export function parse(input) {
  const rows = [];
  let row = [], at = 0;
  while (at < input.length) {
    let field = '';
    if (input[at] === '"') {
      for (at++; ; at++) {
        const end = input.indexOf('"', at);
        assert.notEqual(end, -1, 'a quoted field does not end');
        field += input.slice(at, end);
        at = end + 1;
        if (input[at] !== '"') break;
        field += '"';
      }
    } else {
      const end = at + /^[^,\n]*/.exec(input.slice(at, at + 4096))[0].length;
      field = input.slice(at, end);
      at = end;
      assert.ok(!field.includes('"'), `a bare quote in ${field}`);
    }
    row.push(field);
    assert.ok(input[at] === ',' || input[at] === '\n',
      `row ${rows.length}: a field must end in a comma or a line end`);
    if (input[at] === '\n') { rows.push(row); row = []; }
    at++;
  }
  assert.equal(row.length, 0, 'the last line has its end');
  return rows;
}
