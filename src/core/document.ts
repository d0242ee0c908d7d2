import type { Account, Role, StoredToken } from './token.ts';

/**
 * Documents as stores keep them, in JSON. Those that an earlier version has written lack members that came later: what
 * these are then is said here.
 */
export const laterOfTokens: Pick<StoredToken, 'mode' | 'limits' | 'constraints' | 'sealed'> = {
  mode: 'enforce',
  limits: [],
  constraints: {},
  sealed: null,
};
export const laterOfAccounts: Pick<Account, 'roles' | 'permissions' | 'owns' | 'limits'> = {
  roles: [],
  permissions: null,
  owns: null,
  limits: [],
};

export const readToken = (doc: string): StoredToken => ({ ...laterOfTokens, ...(JSON.parse(doc) as StoredToken) });

export const readAccount = (doc: string): Account => ({ ...laterOfAccounts, ...(JSON.parse(doc) as Account) });

export const readRole = (doc: string): Role => JSON.parse(doc) as Role;
