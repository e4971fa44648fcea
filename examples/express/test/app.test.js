'use strict'

const assert = require('node:assert')
const test = require('node:test')
const app = require('../app')

test('says which dyno answered', async (t) => {
  const server = app.listen(0)
  t.after(() => server.close())
  process.env.DYNO = 'web.1'
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/hello`, {
    headers: { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https' },
  })
  const body = await answer.json()
  assert.equal(body.dyno, 'web.1')
  assert.equal(body.client, '192.0.2.1')
  assert.equal(body.secure, true)
})
