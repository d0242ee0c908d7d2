import type { Heartbeat, ProcessRegistry, Roll } from '../../ports/process-registry.ts';
import { WritesRefused } from './faults.ts';
import type { Marks } from './marks.ts';
import { beat, roll, signOff } from './scripts/processes.ts';
import type { Unit } from './unit.ts';

export class RedisProcessRegistry implements ProcessRegistry {
  readonly #unit: Unit;
  readonly #marks: Marks;

  constructor(unit: Unit, marks: Marks) {
    this.#unit = unit;
    this.#marks = marks;
  }

  /** A mutation like any other: it counts when as many nodes have it as every mutation needs. */
  async beat({ process, applied, cutOffMs }: Heartbeat): Promise<'taken' | 'refused'> {
    const { epoch, seq } = applied;
    try {
      await this.#unit.change(beat, [process, cutOffMs, epoch, seq, this.#marks.of(applied)]);
      return 'taken';
    } catch (error) {
      // Where most nodes have to agree, one that refuses may be alone with that.
      if (!(error instanceof WritesRefused) || this.#unit.confirms) throw error;
      // It was refused before the script could ask who the store is.
      await this.#unit.check();
      return 'refused';
    }
  }

  async signOff(process: string): Promise<void> {
    await this.#unit.change(signOff, [process]);
  }

  async roll(): Promise<Roll> {
    const [now, ...rows] = (await this.#unit.read(roll, [])) as [string, ...string[]];
    const processes: Heartbeat[] = [];
    for (let i = 0; i < rows.length; i += 2) processes.push(heartbeatOf(rows[i]!, rows[i + 1]!));
    return { now: Number(now), processes };
  }
}

function heartbeatOf(process: string, said: string): Heartbeat {
  const [epoch, seq, cutOffMs] = said.split(' ');
  return { process, applied: { epoch: epoch === '-' ? '' : epoch!, seq: Number(seq) }, cutOffMs: Number(cutOffMs) };
}
