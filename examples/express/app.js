'use strict'

const path = require('node:path')
const express = require('express')

// Apart from listening, so that tests can ask it without a fixed port.
const app = express()
app.disable('x-powered-by')
// The router in front is the only client: believe its X-Forwarded-For.
app.set('trust proxy', true)
app.use(express.static(path.join(__dirname, 'public')))

app.get('/hello', (request, response) => {
  response.json({
    dyno: process.env.DYNO ?? null,
    release: process.env.HEROKU_RELEASE_VERSION ?? null,
    client: request.ip,
    secure: request.secure,
  })
})

module.exports = app
