"""What keys are worth: every verb and every change of state, with all ciphertext and every key a partner ever got."""
