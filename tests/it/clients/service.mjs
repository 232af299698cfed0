// A service that sends one event with Node's `fetch`, and knows nothing of Keygate: node service.mjs URL

const answer = await fetch(process.argv[2], {
  method: 'POST',
  body: '{"event":"message","text":"Grüße"}',
  headers: { 'Content-Type': 'application/json', 'X-Event-Id': 'evt_1', 'X-Customer': '7' },
  signal: AbortSignal.timeout(20_000),
})
console.log(await answer.text(), answer.status)
