"""What every test stands on: private places, the runner, a raw IMAP client, comparisons."""
