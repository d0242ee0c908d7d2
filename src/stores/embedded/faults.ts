/** The folder belongs to another process, or to another open store of this one. */
export class StoreInUse extends Error {
  readonly folder: string;
  constructor(folder: string) {
    super(`the store in ${folder} is in use: another process owns it, and only one can`);
    this.name = 'StoreInUse';
    this.folder = folder;
  }
}

/** The file is not one that this version can read: of a newer version, or not a store at all. */
export class StoreVersionUnknown extends Error {
  readonly folder: string;
  readonly why: string;
  constructor(folder: string, why: string) {
    super(`the store in ${folder} cannot be read: ${why}`);
    this.name = 'StoreVersionUnknown';
    this.folder = folder;
    this.why = why;
  }
}
