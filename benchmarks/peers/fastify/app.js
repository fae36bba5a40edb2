// The same service as ../express, in Fastify: answers are serialised by schema.
const { randomUUID } = require('node:crypto')
const fastify = require('fastify')
const { Pool } = require('pg')
const { createClient } = require('redis')

const PAGE = 20
const CACHE_SECONDS = 60
const COLUMNS = `id, title, completed, "order", notes, due_at, remind_at, priority, labels, list_id,
  created_at, updated_at, completed_at, version`

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 20 })
// CACHE=off: every list is loaded.
const cache = process.env.CACHE === 'off' ? null : createClient({ url: process.env.REDIS_URL })

const time = { type: 'string', format: 'date-time', nullable: true }
const todo = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    title: { type: 'string' },
    completed: { type: 'boolean' },
    order: { type: 'integer', nullable: true },
    notes: { type: 'string', nullable: true },
    due_at: time,
    remind_at: time,
    priority: { type: 'integer' },
    labels: { type: 'array', items: { type: 'string' } },
    list_id: { type: 'string', nullable: true },
    created_at: time,
    updated_at: time,
    completed_at: time,
    version: { type: 'integer' },
  },
}
const headers = {
  type: 'object',
  required: ['x-user-id'],
  properties: { 'x-user-id': { type: 'string', format: 'uuid' } },
}
const newTodo = {
  type: 'object',
  required: ['title'],
  properties: {
    title: { type: 'string', minLength: 1, maxLength: 500 },
    notes: { type: 'string', nullable: true, default: null },
    due_at: { type: 'string', format: 'date-time', nullable: true, default: null },
    priority: { type: 'integer', minimum: 0, maximum: 4, default: 0 },
    labels: { type: 'array', items: { type: 'string' }, default: [] },
  },
}

const app = fastify()
const serialise = require('fast-json-stringify')({ type: 'array', items: todo })

app.get('/todos', { schema: { headers } }, async (request, reply) => {
  const key = `todos:${request.headers['x-user-id']}`
  reply.type('application/json; charset=utf-8')
  const cached = cache && (await cache.get(key))
  if (cached) return cached
  const { rows } = await pool.query(
    `SELECT ${COLUMNS} FROM todos WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT ${PAGE}`,
    [request.headers['x-user-id']]
  )
  const body = serialise(rows)
  if (cache) await cache.set(key, body, { EX: CACHE_SECONDS })
  return body
})

app.post('/todos', { schema: { headers, body: newTodo, response: { 201: todo } } }, async (request, reply) => {
  const { title, notes, due_at, priority, labels } = request.body
  const { rows } = await pool.query(
    `INSERT INTO todos (user_id, id, title, notes, due_at, priority, labels) VALUES ($1, $2, $3, $4, $5, $6, $7)
     RETURNING ${COLUMNS}`,
    [request.headers['x-user-id'], randomUUID(), title, notes, due_at, priority, JSON.stringify(labels)]
  )
  if (cache) await cache.del(`todos:${request.headers['x-user-id']}`)
  reply.code(201).header('location', `/todos/${rows[0].id}`)
  return rows[0]
})

async function start(port) {
  if (cache) await cache.connect()
  await app.listen({ port, host: '127.0.0.1' })
}

module.exports = { start }
