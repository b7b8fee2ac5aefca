// That the checker itself would notice what must not happen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from './ledger.mjs';

function ledgerWithOne() {
  const ledger = new Ledger();
  ledger.intend('alice', 'one');
  ledger.confirm('one', '1');
  return ledger;
}

test('a notice that came once is in order', () => {
  const ledger = ledgerWithOne();
  ledger.offered('alice', 's1', { id: '1', message: 'one' });
  assert.deepEqual(ledger.verdict(), { staged: 1, lost: [], doubled: [], repeated: [], misdirected: [] });
});

test('a confirmed notice that never came is lost, and one in doubt is not', () => {
  const ledger = ledgerWithOne();
  ledger.intend('alice', 'in doubt');
  assert.deepEqual(ledger.verdict().lost, ['one']);
  assert.equal(ledger.waiting, 1);
});

test('the same text by two ids is a double', () => {
  const ledger = ledgerWithOne();
  ledger.offered('alice', 's1', { id: '2', message: 'one' });
  assert.deepEqual(ledger.verdict().doubled, ['one']);
});

test('the same id in two sessions is in order, and twice in one is not', () => {
  const ledger = ledgerWithOne();
  ledger.offered('alice', 's1', { id: '1', message: 'one' });
  ledger.offered('alice', 's2', { id: '1', message: 'one' });
  assert.deepEqual(ledger.verdict().repeated, []);
  ledger.offered('alice', 's2', { id: '1', message: 'one' });
  assert.deepEqual(ledger.verdict().repeated, ['1 came twice in s2']);
});

test('what comes to somebody else is told', () => {
  const ledger = ledgerWithOne();
  ledger.offered('bob', 's1', { id: '1', message: 'one' });
  assert.deepEqual(ledger.verdict().misdirected, ['1 came to bob']);
});
