import { beginInFolder, openInFolder } from '../support/embedded.ts';
import { changeFeedContract } from './change-feed.ts';
import { limitLedgerContract } from './limit-ledger.ts';
import { processRegistryContract } from './process-registry.ts';
import { rolesContract } from './roles.ts';
import { storeTransferContract } from './store-transfer.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

tokenStoreContract('embedded', openInFolder);
rolesContract('embedded', openInFolder);
tokenListContract('embedded', openInFolder);
changeFeedContract('embedded', openInFolder);
usageLedgerContract('embedded', openInFolder);
limitLedgerContract('embedded', openInFolder);
storeTransferContract('embedded', openInFolder, beginInFolder);
processRegistryContract('embedded', openInFolder);
