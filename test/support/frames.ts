/** A WebSocket frame of so many payload bytes, written independently of the code that follows frames. */
export function frame(size: number, masked: boolean): Buffer {
  const mask = masked ? 0x80 : 0;
  let head: Buffer;
  if (size < 126) head = Buffer.from([0x82, mask | size]);
  else if (size < 65_536) {
    head = Buffer.from([0x82, mask | 126, 0, 0]);
    head.writeUInt16BE(size, 2);
  } else {
    head = Buffer.from([0x82, mask | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  // Payload that would be heads of frames, if it were taken for them.
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0, 0x81), Buffer.alloc(size, 0x8a)]);
}
