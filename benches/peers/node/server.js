// What a company would write by hand to take Waldo's webhooks: Fastify and better-sqlite3, each webhook durable before it is
// answered, one transaction for the event and the rows of its customer and its request. No queue, no feed, no rules beyond
// the plainest: this is what waldo-syncd's cost is held against, not a copy of it.
//
//   npm ci && SECRET=x DATABASE=/tmp/peer.db PORT=7411 node server.js
import { createHash, timingSafeEqual } from 'node:crypto';
import Database from 'better-sqlite3';
import Fastify from 'fastify';

const { SECRET = 'secret', DATABASE = 'webhooks.db', PORT = '7411' } = process.env;

const db = new Database(DATABASE);
db.pragma('journal_mode = WAL');
db.pragma('synchronous = FULL'); // the answer says that the webhook is on the disk
db.exec(`
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, received_at INTEGER NOT NULL, digest BLOB NOT NULL, event TEXT, customer_id TEXT,
    request_id TEXT, body BLOB NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS customers (
    customer_id TEXT PRIMARY KEY, external_id TEXT, uri TEXT, status TEXT, kyc TEXT, fraud_score REAL, flagged INTEGER,
    warnings INTEGER, warning_tags TEXT, updated_at INTEGER NOT NULL, last_seq INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS requests (
    request_id TEXT PRIMARY KEY, customer_id TEXT, type TEXT, status TEXT, updated_at INTEGER NOT NULL
  ) STRICT;
`);

const addEvent = db.prepare(
  'INSERT INTO events (received_at, digest, event, customer_id, request_id, body) VALUES (?, ?, ?, ?, ?, ?)',
);
const putCustomer = db.prepare(`
  INSERT INTO customers VALUES (@customerId, @externalId, @uri, @status, @kyc, @fraudScore, @flagged, @warnings, @tags, @at, @seq)
  ON CONFLICT DO UPDATE SET
    external_id = coalesce(excluded.external_id, external_id), uri = coalesce(excluded.uri, uri),
    status = coalesce(excluded.status, status), kyc = coalesce(excluded.kyc, kyc),
    fraud_score = coalesce(excluded.fraud_score, fraud_score), flagged = coalesce(excluded.flagged, flagged),
    warnings = coalesce(excluded.warnings, warnings), warning_tags = coalesce(excluded.warning_tags, warning_tags),
    updated_at = excluded.updated_at, last_seq = excluded.last_seq`);
const putRequest = db.prepare(`
  INSERT INTO requests VALUES (@requestId, @customerId, @type, @status, @at)
  ON CONFLICT DO UPDATE SET customer_id = coalesce(excluded.customer_id, customer_id), type = excluded.type,
    status = excluded.status, updated_at = excluded.updated_at`);

const flag = (value) => (typeof value === 'boolean' ? Number(value) : null);

const store = db.transaction((body, hook) => {
  const at = Date.now();
  const digest = createHash('sha256').update(body).digest();
  const { event = null, customerId = null, externalId = null, requestId = null, uri = null } = hook;
  const { lastInsertRowid: seq } = addEvent.run(at, digest, event, customerId, requestId, body);
  if (customerId) {
    const { status = null, kyc = null, fraudScore = null, fraudFlag, warnings = null, warningTags } = hook.validation ?? {};
    const tags = warningTags ? JSON.stringify(warningTags) : null;
    const flagged = flag(hook.flag ?? fraudFlag);
    putCustomer.run({ customerId, externalId, uri, status, kyc, fraudScore, flagged, warnings, tags, at, seq });
  }
  if (requestId && hook.evaluation) {
    const { type = null, status = null } = hook.evaluation;
    putRequest.run({ requestId, customerId, type, status, at });
  }
  return seq;
});

const known = createHash('sha256').update(SECRET).digest();
const app = Fastify({ bodyLimit: 1 << 20 });
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
app.post('/webhooks/waldo/:secret', (request, reply) => {
  const given = createHash('sha256').update(request.params.secret).digest();
  if (!timingSafeEqual(given, known)) return reply.code(404).send();
  let hook;
  try {
    hook = JSON.parse(request.body);
  } catch {
    return reply.code(400).send();
  }
  return reply.send({ seq: Number(store(request.body, hook)) });
});
app.listen({ host: '127.0.0.1', port: Number(PORT) });
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => app.close().then(() => db.close()));
