/** A token of api-tokens as its clients read it. */
export function decodeToken(token: string): { readonly id: bigint; readonly type: number } {
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length !== 25) throw new Error(`${bytes.length} bytes`);
  return { id: bytes.readBigInt64BE(0) ^ ~bytes.readBigInt64BE(9), type: bytes[8]! };
}
