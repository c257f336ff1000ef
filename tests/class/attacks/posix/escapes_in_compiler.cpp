// Words of the compiler that a terminal and a browser would obey.
#error "[2J]0;owned<script>alert(1)</script>]]>&"
static void attack() {}
