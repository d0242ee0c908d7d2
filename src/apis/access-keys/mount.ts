import type { Actor } from '../../manage/parts.ts';
import type { Mount, MountAnswer, MountRequest } from '../../ports/mount.ts';
import { isBodyFault } from '../body-fault.ts';
import type { ApiParts } from '../parts.ts';
import { ApiRefusal, answerTo, emptyAnswer, internalAnswer, jsonAnswer, writtenAnswer } from './answers.ts';
import { readKeyMembers } from './body.ts';
import { adminPermission, type Caller, demandCookie, demandPermission, identify, usePermission } from './caller.ts';
import { Keys } from './keys.ts';
import { methodsAt, type Place, Places } from './places.ts';

export interface AccessKeysOptions {
  /** Path that it stands under, such as `/api`; empty at the root. */
  readonly path: string;
}

/** Access keys as Storyden has them: `{path}/auth/access-keys` for members, `{path}/admin/access-keys` for administrators. */
export function mount(parts: ApiParts, { path }: AccessKeysOptions): Mount {
  const places = new Places(path);
  const room = new Room(parts);
  return {
    api: 'access-keys',
    path,
    claims: ({ target }) => (places.of(target) === null ? 'no' : 'yes'),
    claimsForm: () => false,
    answer: request => room.answer(request, places.of(request.form.target)),
    connect: null,
  };
}

class Room {
  readonly #parts: ApiParts;
  readonly #keys: Keys;

  constructor(parts: ApiParts) {
    this.#parts = parts;
    this.#keys = new Keys(parts);
  }

  async answer(request: MountRequest, place: Place | null): Promise<MountAnswer> {
    const { method } = request.form;
    try {
      return await this.#answer(request, place);
    } catch (error) {
      if (isBodyFault(error)) throw error;
      const answer = answerTo(error, method !== 'GET');
      if (answer === null) this.#parts.log.fault(error, 'A call of access-keys failed.');
      return forMethod(method, answer ?? internalAnswer);
    }
  }

  /** Who asks comes first, then whether they may, and then what they ask for. */
  async #answer(request: MountRequest, place: Place | null): Promise<MountAnswer> {
    const { method } = request.form;
    if (place === null) throw new ApiRefusal(404, { error: 'not_found', message: 'There is nothing here.' });
    const methods = methodsAt(place);
    if (!methods.includes(method)) throw notAllowed(methods);
    const caller = await identify(request, this.#parts.identities);
    const { account } = caller.manager;
    if (place.of === 'everybody') {
      demandPermission(caller, adminPermission);
      const actor = actorOf(caller, request, null);
      // Services hold an account's own actors to this; for one that reaches everything it is asked here.
      await this.#keys.demandEnabled(actor, account);
      if (place.id === null) return writtenAnswer(200, await this.#keys.listOwned(actor, account));
      await this.#keys.remove(actor, place.id);
      return emptyAnswer;
    }
    demandPermission(caller, usePermission);
    const actor = actorOf(caller, request, { account });
    if (place.id !== null) {
      await this.#keys.remove(actor, place.id);
      return emptyAnswer;
    }
    if (method === 'GET') return writtenAnswer(200, await this.#keys.list(actor, account));
    demandCookie(caller);
    return jsonAnswer(200, await this.#keys.create(actor, account, await readKeyMembers(request)));
  }
}

/** Who is written to the audit trail. */
const actorOf = ({ manager: { account } }: Caller, { client }: MountRequest, scope: Actor['scope']): Actor => ({
  name: `access-keys:${account}`,
  address: client,
  scope,
});

const notAllowed = (methods: readonly string[]): ApiRefusal =>
  new ApiRefusal(405, { error: 'method_not_allowed', message: 'This method is not allowed here.' }, [
    'Allow',
    methods.join(', '),
  ]);

const forMethod = (method: string, answer: MountAnswer): MountAnswer =>
  method === 'HEAD' ? { ...answer, body: null } : answer;
