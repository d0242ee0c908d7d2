import { openInFolder } from '../support/embedded.ts';
import { changeFeedContract } from './change-feed.ts';
import { processRegistryContract } from './process-registry.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

tokenStoreContract('embedded', openInFolder);
tokenListContract('embedded', openInFolder);
changeFeedContract('embedded', openInFolder);
usageLedgerContract('embedded', openInFolder);
processRegistryContract('embedded', openInFolder);
