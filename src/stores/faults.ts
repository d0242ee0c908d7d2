/** There is no store, and none was to be made. */
export class StoreMissing extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreMissing';
  }
}

/** What was to be filled with a store holds one already, or is being filled by somebody else. */
export class TargetTaken extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TargetTaken';
  }
}
