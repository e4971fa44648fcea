// What users of `heroku-client` (npm) write, at api.heroku.com: the token is in HEROKU_API_TOKEN.
'use strict'

const assert = require('assert')
const Heroku = require('heroku-client')

async function main () {
  const heroku = new Heroku({ token: process.env.HEROKU_API_TOKEN })
  assert.strictEqual((await heroku.get('/account')).email, 'admin@localhost')

  const app = await heroku.post('/apps', { body: { name: 'gazelle', region: 'us' } })
  assert.strictEqual(app.name, 'gazelle')
  assert.strictEqual(app.owner.email, 'admin@localhost')
  const config = await heroku.patch('/apps/gazelle/config-vars', { body: { A: '1', B: 'two words' } })
  assert.deepStrictEqual(config, { A: '1', B: 'two words' })
  assert.deepStrictEqual(await heroku.patch('/apps/gazelle/config-vars', { body: { A: null } }), { B: 'two words' })

  // Every request asks for a range of ids, and pages are put together without a word.
  for (let n = 0; n < 6; n++) await heroku.patch('/apps/gazelle/config-vars', { body: { N: String(n) } })
  const releases = await heroku.get('/apps/gazelle/releases', { headers: { Range: 'version ..; max=3' } })
  assert.deepStrictEqual(releases.map(release => release.version), [...releases.keys()].map(index => index + 1))
  assert.ok(releases.length >= 9, releases.length)
  const newest = await heroku.get('/apps/gazelle/releases', { partial: true, headers: { Range: 'version ..; order=desc,max=1' } })
  assert.deepStrictEqual(newest.map(release => release.version), [releases.length])
  for (const list of ['addons', 'app-transfers', 'builds', 'buildpack-installations', 'collaborators', 'domains', 'dynos',
    'features', 'formation', 'log-drains', 'pipeline-couplings', 'releases', 'sni-endpoints', 'webhooks']) {
    const path = list === 'app-transfers' ? '/account/app-transfers' : `/apps/gazelle/${list}`
    const got = await heroku.get(path).catch(error => error)
    // The one link of these that is about one thing.
    if (list === 'pipeline-couplings') assert.strictEqual(got.statusCode, 404)
    else assert.ok(Array.isArray(got), `${path}: ${got}`)
  }

  const refused = await heroku.post('/apps', { body: { name: 'gazelle' } }).catch(error => error)
  assert.strictEqual(refused.statusCode, 422)
  assert.strictEqual(refused.body.id, 'invalid_params')
  assert.match(refused.body.message, /already taken/)
  const stranger = await new Heroku({ token: 'HRKU-wrong' }).get('/account').catch(error => error)
  assert.deepStrictEqual([stranger.statusCode, stranger.body.id], [401, 'unauthorized'])

  assert.strictEqual((await heroku.delete('/apps/gazelle')).name, 'gazelle')
  assert.strictEqual((await heroku.get('/apps/gazelle').catch(error => error)).statusCode, 404)
  console.log('heroku-client has done everything')
}

main().catch(error => {
  console.error(error, error.body)
  process.exit(1)
})
