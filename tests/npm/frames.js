// Reads the frames of docs/network and computes what is signed: written from the formats, not from the Python.

import { keccak_256 } from '@noble/hashes/sha3.js'

const ATTESTATION = 1
const text = new TextEncoder()

const ALERT_TYPE = 'TocsinAlert(bytes32 networkId,uint32 epoch,bytes32 headerHash,bytes32 slotId,uint8 verdict,'
  + 'uint64 observedAt,uint64 expiresAt,bytes32 evidenceHash,bytes32 causeDigest,uint8 causeDepth,bytes32 actionsHash)'
const SLOT_TYPE = 'TocsinSlot(bytes32 policyHash,bytes32 ruleId,uint256 sourceChainId,uint256 anchorNumber,'
  + 'bytes32 anchorHash,bytes32 subject)'
const ACTION_TYPE = 'TocsinAction(uint256 chainId,address guardian,bytes32 actionId,bytes32 paramsHash)'

/** The MessagePack that frames are made of: arrays, unsigned integers, bytes; anything else is refused. */
class Reader {
  constructor (data) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    this.data = data
    this.at = 0
  }

  read () {
    const head = this.view.getUint8(this.at++)
    if (head < 0x80) return BigInt(head)
    if ((head & 0xf0) === 0x90) return this.array(head & 0x0f)
    switch (head) {
      case 0xc4: return this.bytes(this.number(1))
      case 0xc5: return this.bytes(this.number(2))
      case 0xcc: return BigInt(this.number(1))
      case 0xcd: return BigInt(this.number(2))
      case 0xce: return BigInt(this.number(4))
      case 0xcf: { const value = this.view.getBigUint64(this.at); this.at += 8; return value }
      case 0xdc: return this.array(this.number(2))
      default: throw new Error(`expected an array, an unsigned integer or bytes, came 0x${head.toString(16)}`)
    }
  }

  number (size) {
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + this.view.getUint8(this.at++)
    return value
  }

  bytes (size) {
    if (this.at + size > this.data.length) throw new Error('the bytes end early')
    this.at += size
    return this.data.slice(this.at - size, this.at)
  }

  array (count) {
    return Array.from({ length: count }, () => this.read())
  }
}

/** One 32-byte word of the ABI: an integer, or bytes that stand at the right (addresses) or fill it. */
function word (value) {
  const out = new Uint8Array(32)
  if (value instanceof Uint8Array) {
    out.set(value, 32 - value.length)
  } else {
    for (let i = 31, rest = value; rest > 0n; i--, rest >>= 8n) out[i] = Number(rest & 0xffn)
  }
  return out
}

function concat (parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) { out.set(part, at); at += part.length }
  return out
}

const hashOf = (type, ...values) => keccak_256(concat([keccak_256(text.encode(type)), ...values.map(word)]))

/** The digest that operators sign. */
export function computeDigest (alert) {
  const [network, epoch, header, slot, verdict, observedAt, expiresAt, evidence, cause, depth, actions] = alert
  const leaves = actions.map(([chain, guardian, id, params]) =>
    hashOf(ACTION_TYPE, chain, guardian, id, keccak_256(params)))
  return hashOf(ALERT_TYPE, network, epoch, header, hashOf(SLOT_TYPE, ...slot), verdict, observedAt, expiresAt,
    evidence, cause, depth, keccak_256(concat(leaves)))
}

/** The attestation in a frame of version 2; undefined for a frame of another kind. Throws for what is no frame. */
export function parseFrame (payload) {
  const reader = new Reader(payload)
  const fields = reader.read()
  if (reader.at !== payload.length) throw new Error('bytes are left over')
  if (!Array.isArray(fields) || fields.length !== 3 || fields[0] !== 2n) throw new Error('no frame of version 2')
  const [, kind, body] = fields
  if (kind !== BigInt(ATTESTATION)) return undefined
  const [alert, index, signature] = body
  return { alert, index: Number(index), signature, digest: computeDigest(alert), header: alert[2] }
}

/** The operators of a header and its leaves, checked: leaf_i = index u16 | weight u96 | key 192. */
export function parseOperators (leaves) {
  return leaves.map((leaf, position) => {
    const view = new DataView(leaf.buffer, leaf.byteOffset)
    if (leaf.length !== 206 || view.getUint16(0) !== position) throw new Error(`leaf ${position} is malformed`)
    const weight = leaf.slice(2, 14).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
    return { weight, key: leaf.slice(14) }
  })
}

/** leavesHash of a header: keccak over the hashes of the leaves. */
export function computeLeavesHash (leaves) {
  return keccak_256(concat(leaves.map(leaf => keccak_256(leaf))))
}

export { keccak_256 as keccak }
