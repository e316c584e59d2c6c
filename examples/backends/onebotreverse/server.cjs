// A bot on Koishi, which waits for the connection of a OneBot implementation and repeats what
// it hears. (Koishi's packages can be loaded by require only.)
const { Context, HTTP } = require('koishi')
const Server = require('@koishijs/plugin-server').default
const OneBot = require('koishi-plugin-adapter-onebot').default

const ctx = new Context()
ctx.plugin(HTTP)
ctx.plugin(Server, { host: '127.0.0.1', port: Number(process.env.PORT) })
ctx.plugin(OneBot, { selfId: '10001', protocol: 'ws-reverse', path: '/onebot' })
ctx.middleware((session) => `you said: ${session.content}`)
ctx.start().then(() => console.log('listening'))
