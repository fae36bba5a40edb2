// To-dos over PostgreSQL, with the newest page of each user cached in Redis for a minute.
const { randomUUID } = require('node:crypto')
const express = require('express')
const { Pool } = require('pg')
const { createClient } = require('redis')

const PAGE = 20
const CACHE_SECONDS = 60
const COLUMNS = `id, title, completed, "order", notes, due_at, remind_at, priority, labels, list_id,
  created_at, updated_at, completed_at, version`
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 20 })
// CACHE=off: every list is loaded.
const cache = process.env.CACHE === 'off' ? null : createClient({ url: process.env.REDIS_URL })

const app = express()
app.use(express.json())

app.use((req, res, next) => {
  const userId = req.get('X-User-Id')
  if (!userId || !UUID.test(userId)) return res.status(401).json({ error: 'X-User-Id is missing' })
  req.userId = userId
  next()
})

app.get('/todos', async (req, res) => {
  const key = `todos:${req.userId}`
  const cached = cache && (await cache.get(key))
  if (cached) return res.type('json').send(cached)
  const { rows } = await pool.query(
    `SELECT ${COLUMNS} FROM todos WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT ${PAGE}`,
    [req.userId]
  )
  const body = JSON.stringify(rows)
  if (cache) await cache.set(key, body, { EX: CACHE_SECONDS })
  res.type('json').send(body)
})

app.post('/todos', async (req, res) => {
  const { title, notes = null, due_at = null, priority = 0, labels = [] } = req.body ?? {}
  if (typeof title !== 'string' || title.length < 1 || title.length > 500) {
    return res.status(422).json({ error: 'title must have 1 to 500 characters' })
  }
  const { rows } = await pool.query(
    `INSERT INTO todos (user_id, id, title, notes, due_at, priority, labels) VALUES ($1, $2, $3, $4, $5, $6, $7)
     RETURNING ${COLUMNS}`,
    [req.userId, randomUUID(), title, notes, due_at, priority, JSON.stringify(labels)]
  )
  if (cache) await cache.del(`todos:${req.userId}`)
  res.status(201).location(`/todos/${rows[0].id}`).json(rows[0])
})

async function start(port) {
  if (cache) await cache.connect()
  app.listen(port, '127.0.0.1')
}

module.exports = { start }
