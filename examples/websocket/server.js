'use strict'

const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { WebSocketServer } = require('ws')

// Less than the 55 seconds after which a router gives up on a silent connection.
const PING_EVERY_MS = 30_000
const MESSAGE_BYTES_MAX = 64 * 1024

function createServer() {
  const page = fs.readFileSync(path.join(__dirname, 'index.html'))
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page)
  })
  const sockets = new WebSocketServer({ server, maxPayload: MESSAGE_BYTES_MAX })
  sockets.on('connection', (socket) => {
    socket.send(`hello from ${process.env.DYNO ?? 'no dyno'}`)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    socket.on('error', (error) => console.log(`connection lost: ${error.message}`))
  })
  const pings = setInterval(() => sockets.clients.forEach((socket) => socket.ping()), PING_EVERY_MS)
  pings.unref()

  // 1001: going away; a good client comes back, to another dyno.
  server.stop = () => {
    sockets.clients.forEach((socket) => socket.close(1001))
    server.close()
  }
  return server
}

module.exports = { createServer }
