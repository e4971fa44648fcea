'use strict'

const assert = require('node:assert')
const { once } = require('node:events')
const test = require('node:test')
const { WebSocket } = require('ws')
const { createServer } = require('../server')

test('greets, echoes, and says goodbye', async (t) => {
  const server = createServer().listen(0)
  t.after(() => server.close())
  const socket = new WebSocket(`ws://127.0.0.1:${server.address().port}`)
  const [greeting] = await once(socket, 'message')
  assert.match(String(greeting), /^hello from /)
  socket.send('one')
  const [echo] = await once(socket, 'message')
  assert.equal(String(echo), 'one')
  server.stop()
  const [code] = await once(socket, 'close')
  assert.equal(code, 1001)
})
