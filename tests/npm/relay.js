// A relay that pulls and never says anything: it joins the topic of a network over TCP, Noise and Yamux, checks each
// attestation with @noble/curves, and sums them until more than two thirds of the stake have signed.
//
//   node relay.js < configuration.json
//
// The configuration holds seed, dial, topic, headerHash, header and leaves, in hex. It trusts the header's hash alone.
// Each line on standard output is one JSON object with an `event`.

import { readFileSync } from 'node:fs'

// libp2p asks for what came with Node 22; this line lets it run where Node 20 is
Promise.withResolvers ??= function () {
  const out = {}
  out.promise = new this((resolve, reject) => { Object.assign(out, { resolve, reject }) })
  return out
}

const { noise } = await import('@chainsafe/libp2p-noise')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { generateKeyPairFromSeed } = await import('@libp2p/crypto/keys')
const { gossipsub } = await import('@libp2p/gossipsub')
const { identify } = await import('@libp2p/identify')
const { tcp } = await import('@libp2p/tcp')
const { multiaddr } = await import('@multiformats/multiaddr')
const { bls12_381: bls } = await import('@noble/curves/bls12-381.js')
const { createLibp2p } = await import('libp2p')
const { computeLeavesHash, keccak, parseFrame, parseOperators } = await import('./frames.js')

const TAG = 'TOCSIN-ALERT-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_'
const LEAVES_HASH_AT = 78 // epoch 4 | n 2 | total 16 | capture block 8 | capture time 8 | valid until 8 | previous 32
const { G1, G2, shortSignatures } = bls
const hex = bytes => Buffer.from(bytes).toString('hex')
const bytesOf = text => Uint8Array.from(Buffer.from(text, 'hex'))
const say = line => process.stdout.write(JSON.stringify(line) + '\n')

/** A public key from its 192 raw bytes, x.c0 | x.c1 | y.c0 | y.c1; on the curve and in the subgroup. */
function keyFrom (raw) {
  const coordinate = at => BigInt('0x' + hex(raw.slice(at, at + 48)))
  const point = G2.Point.fromAffine({
    x: bls.fields.Fp2.fromBigTuple([coordinate(0), coordinate(48)]),
    y: bls.fields.Fp2.fromBigTuple([coordinate(96), coordinate(144)])
  })
  point.assertValidity()
  return point
}

const config = JSON.parse(readFileSync(0, 'utf8'))
const header = bytesOf(config.header)
const leaves = config.leaves.map(bytesOf)
if (hex(keccak(header)) !== config.headerHash) throw new Error('the header is not the one that is trusted')
if (hex(computeLeavesHash(leaves)) !== hex(header.slice(LEAVES_HASH_AT, LEAVES_HASH_AT + 32))) {
  throw new Error('the leaves are not those of the header')
}
const operators = parseOperators(leaves).map(each => ({ weight: each.weight, point: keyFrom(each.key) }))
const total = operators.reduce((sum, each) => sum + each.weight, 0n)
const counts = new Map()

function take (payload) {
  const heard = parseFrame(payload)
  if (heard === undefined) return
  const { index, digest, signature } = heard
  if (hex(heard.header) !== config.headerHash || index >= operators.length) {
    say({ event: 'refused', index, why: 'not a member' })
    return
  }
  const message = shortSignatures.hash(digest, TAG)
  const point = G1.Point.fromBytes(signature)
  point.assertValidity()
  if (!shortSignatures.verify(point, message, operators[index].point)) {
    say({ event: 'refused', index, why: 'bad signature' })
    return
  }
  const name = hex(digest)
  const signed = counts.get(name) ?? new Map()
  if (signed.has(index)) return
  counts.set(name, signed.set(index, point))
  say({ event: 'counted', index, digest: name })
  certify(name, signed, message)
}

/** Say so once, when the sum of what was signed verifies against the sum of the keys and weighs enough. */
function certify (name, signed, message) {
  const signers = [...signed.keys()].sort((a, b) => a - b)
  const weight = signers.reduce((sum, index) => sum + operators[index].weight, 0n)
  const before = weight - operators[[...signed.keys()].at(-1)].weight
  if (!(weight * 3n > total * 2n) || before * 3n > total * 2n) return
  const signature = shortSignatures.aggregateSignatures(signers.map(index => signed.get(index)))
  const key = shortSignatures.aggregatePublicKeys(signers.map(index => operators[index].point))
  const verified = shortSignatures.verify(signature, message, key)
  say({ event: 'certificate', digest: name, signers, weight: String(weight), verified, signature: hex(signature.toBytes()) })
}

const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', bytesOf(config.seed)),
  addresses: { listen: [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), pubsub: gossipsub({ emitSelf: false, allowPublishToZeroTopicPeers: true }) }
})
node.services.pubsub.addEventListener('message', ({ detail }) => {
  try {
    take(detail.data)
  } catch (error) {
    say({ event: 'refused', why: String(error.message ?? error) })
  }
})
node.services.pubsub.subscribe(config.topic)
await node.dial(multiaddr(config.dial))
say({ event: 'connected', peer: node.peerId.toString() })
process.stdin.on('close', () => {})
setInterval(() => {}, 1 << 30) // until it is ended
