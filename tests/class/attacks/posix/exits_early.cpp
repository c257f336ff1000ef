// Ends with success before anything has happened.
static void attack() { ::_exit(0); }
