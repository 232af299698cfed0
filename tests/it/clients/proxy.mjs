// What `NODE_OPTIONS=--import=…/proxy.mjs` loads before a service: `fetch` then minds HTTP_PROXY and NO_PROXY. Up to undici 7 a tunnel
// would be asked for even where the URL is http://, and what passes through a tunnel cannot be signed; undici 8 asks for none.

import { createRequire } from 'node:module'

// The suite has its packages elsewhere; a service has undici among its own, and imports it.
const { EnvHttpProxyAgent, setGlobalDispatcher } = createRequire(process.env.TEST_PACKAGES + '/')('undici')

setGlobalDispatcher(new EnvHttpProxyAgent({ proxyTunnel: false }))
