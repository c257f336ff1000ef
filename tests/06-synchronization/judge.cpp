// The judge of lab 06: several lab programs at once, and it decides who comes when.

#include "shared.hpp"

#include <list>
#include <map>

using namespace judge;

JUDGE_MAIN

namespace {

// What the last words and the explained hang give away.
void know_lost_mutexes(Stage& stage) {
    stage.recognise("State not recoverable", "not-made-consistent");
    stage.recognise("WAIT_ABANDONED_0", "abandoned-slot-is-an-error");
    stage.recognise("WAIT_ABANDONED", "abandoned-is-an-error");
}

const Mistake without_effect = windows ? "private-object, critical-section" : "lock-does-nothing";
const Mistake wakes_nobody = windows ? "" : "not-shared";
const Mistake waits_for_the_dead = windows ? "" : "condition-waits-for-the-dead";
const Mistake lost_signal = windows ? "pulse" : "signal-not-kept";

// What is wrong if nobody gets the lock, if both do, and if it is given back and the other does not hear of it.
struct IfNot {
    Mistake taken, alone, handed_on;
};

// Each worker is let on by a line of input: whether a second one can be between load and store at the same time.
void count_by_schedule(Stage& stage, const std::string& lock, unsigned workers, const IfNot& mistakes) {
    Subject lab = stage.start({"count", stage.name("count"), "--lock", lock, "--workers", std::to_string(workers), "--increments", "1", "--step"});
    const std::size_t started = 8 * workers, loaded = 9;  // lines of "started" and "loaded 0", in whatever order
    unsigned total = workers;
    if (lock == "none") {
        has_printed(stage, lab, started + loaded * workers, "without a lock every worker loads 0", "");
        lab.feed(std::string(workers, '\n'));
        total = 1;  // each has loaded 0, and stores 1: not by bad luck, but for sure
    } else {
        const std::string one = has_printed(stage, lab, started + loaded, "one worker gets the lock, and loads 0", mistakes.taken);
        stage.require(one.find("loaded 0\n") != std::string::npos, {"one worker gets the lock, and prints \"loaded 0\"", one.empty() ? "nothing" : shown(one), "", "", mistakes.taken});
        stage.require(one.size() == started + loaded, {"only one worker gets the lock", shown(one), "", "", mistakes.alone});
        blocks_after(stage, lab, one, "the others wait until the first one has stored", mistakes.alone);
        for (unsigned turn = 1; turn < workers; ++turn) {
            const std::string line = "loaded " + std::to_string(turn) + "\n";
            const std::string what = "one has stored " + std::to_string(turn) + " and given the lock back; the next one gets it, and loads " + std::to_string(turn);
            lab.feed("\n");
            const std::string next = has_printed(stage, lab, started + loaded * (turn + 1), what, mistakes.handed_on).substr(started + loaded * turn);
            stage.require(next == line, {what, next.empty() ? "nothing" : shown(next), "", "", mistakes.alone});
        }
        lab.feed("\n");
    }
    for (unsigned i = 0; i < 2 * workers; ++i)
        lab.line();  // what has been looked at
    const std::string sum = lab.line(mistakes.handed_on);
    stage.require(sum == std::to_string(total), {"the number at the end is " + std::to_string(total), shown(sum), "", "", mistakes.alone});
    lab.exits(0, mistakes.handed_on);
}

// Whoever signals asks nobody: least of all one who was killed while he waited.
void signals(Stage& stage, const std::string& name) {
    Subject lab = stage.start({"signal", name});
    ends_with(stage, lab, 0, "signal waits for nobody", waits_for_the_dead);
}

void counts_exactly(Stage& stage, const std::string& lock, const Mistake& otherwise = {}) {
    const auto workers = stage.random().between(3, 5), increments = stage.random().between(20, 40);
    Subject lab = stage.start({"count", stage.name("count"), "--lock", lock, "--workers", std::to_string(workers), "--increments", std::to_string(increments)});
    lab.prints(std::to_string(workers * increments) + "\n", otherwise);
    lab.exits(0, otherwise);
}

}  // namespace

EXERCISE("Exercise 1: a mutex") {

CASE("6.1 only one worker at a time is between load and store" * points(6) * section("exercise-1-a-mutex") *
     hints("Two processes each load 0. What do they store?",
           "A mutex in shared memory is not yet a mutex for several processes: it has to be told so when it is made (pthread_mutexattr_setpshared). "
           "On Windows, a mutex without a name is one's own.",
           "Make it with PTHREAD_PROCESS_SHARED in NamedObject's prepare function; CreateMutexW(nullptr, FALSE, L\"Local\\\\\" + name). Then lock() is pthread_mutex_lock() or WaitForSingleObject().")) {
    stage.by_hand("lab-06 count --lock mutex --workers 2 --increments 1 --step    # then Enter, slowly");
    stage.recognise("already exists|Cannot create a file", "already-exists-is-an-error");
    count_by_schedule(stage, "mutex", 2, {windows ? "owner-from-the-beginning" : "", without_effect, wakes_nobody});
    count_by_schedule(stage, "none", 2, {});  // and this is what the lock is for
}

CASE("6.2 many workers count exactly" * points(4) * section("exercise-1-a-mutex") *
     hints("Does every lock() have its unlock(), and does unlock() wake somebody?",
           "A mutex that is private to a process lets the others sleep: their wake-up is sent inside that process only.",
           "pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED); ReleaseMutex() as often as the wait succeeded.")) {
    stage.by_hand("lab-06 count --lock mutex --workers 4 --increments 1000");
    count_by_schedule(stage, "mutex", static_cast<unsigned>(stage.random().between(3, 5)), {"", without_effect, wakes_nobody});
    counts_exactly(stage, "mutex", without_effect);
}

CASE("6.3 try waits as long as it may and no longer" * points(5) * section("how-long-to-wait") *
     hints("What does a wait that has run out of time tell you, and how does that differ from an error?",
           "ETIMEDOUT is an answer. The time that is left shrinks while you wait; a Deadline is a moment, so it does not.",
           "pthread_mutex_clocklock() with CLOCK_MONOTONIC and deadline.at(); WaitForSingleObject() with deadline.wait_ms(), and WAIT_TIMEOUT is Taken::timed_out.")) {
    const std::string name = stage.name("lock");
    stage.by_hand("sleep 9 | lab-06 hold A & sleep 1; lab-06 try A --timeout 300; echo $?");
    try_says(stage, {"try", name, "--timeout", "0"}, "taken", "");
    Subject owner = hold(stage, {"hold", name});
    owner.ready();
    try_fails(stage, {"try", name, "--timeout", "0"}, without_effect, "timeout-not-seen");
    const auto begin = std::chrono::steady_clock::now();
    // The one before has come and gone, and must not have taken the name along.
    try_fails(stage, {"try", name, "--timeout", "300"}, windows ? "" : "name-removed-too-early", "timeout-not-seen");
    const auto took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    stage.require(took >= milliseconds(295), {"it tries for 300 ms", "it gave up after " + std::to_string(took.count()) + " ms", "", "", ""});
    Subject patient = stage.start({"try", name, "--timeout", "60000"});
    patient.idles();
    lets_go(owner);
    patient.prints("taken\n");
    patient.exits(0);
}

CASE("6.4 the owner may take it again and gives it back as often" * points(4) * section("taking-it-twice") *
     hints("A function that holds the lock calls another one that takes it. Who would have to give it back first?",
           "Windows' mutexes count how often their owner took them. POSIX's do if they are made so.",
           "pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE); and hand on what pthread_mutex_unlock() or ReleaseMutex() answers: it knows who is no owner.")) {
    stage.recognise("Resource deadlock avoided", "not-recursive");
    const std::string name = stage.name("lock");
    stage.by_hand("lab-06 hold A --times 2    # Enter gives back one");
    Subject owner = hold(stage, {"hold", name, "--times", "2"});
    comes_to(stage, owner, "waiting\nready\n", "the owner takes it a second time", windows ? "" : "not-recursive");
    Subject next = hold(stage, {"hold", name});
    blocks_after(stage, next, "waiting\n", "the next one waits", without_effect);
    owner.feed("\n");
    comes_to(stage, owner, "waiting\nready\ngiven back\n", "it gives one back", "unlock-unchecked");
    blocks_after(stage, next, "waiting\n", "the next one still waits: it was taken twice and given back once", "");
    owner.feed("\n");
    comes_to(stage, owner, "waiting\nready\ngiven back\ngiven back\n", "it gives the other back", "unlock-unchecked");
    comes_to(stage, next, "waiting\nready\n", "now the next one has it", wakes_nobody);
    refuses_another(stage, owner, "unlock-unchecked");
    lets_go(next);
}

CASE("6.5 whoever takes it after its owner was killed is told and the mutex lives on" * points(8) * section("the-owner-dies") *
     hints("The owner was in the middle of changing something. What should the next one know, and who can tell it?",
           "The kernel knows who has died: EOWNERDEAD (with PTHREAD_MUTEX_ROBUST), WAIT_ABANDONED. It is a success with a warning: you own it now.",
           "On EOWNERDEAD call pthread_mutex_consistent() before you unlock, or everybody after you gets ENOTRECOVERABLE. Return Taken::abandoned.")) {
    know_lost_mutexes(stage);
    const std::string name = stage.name("lock");
    stage.by_hand("sleep 9 | lab-06 hold A & FIRST=$!; sleep 1; sleep 9 | lab-06 hold A & sleep 1; kill -9 $FIRST");
    Subject owner = hold(stage, {"hold", name});
    owner.ready();
    Subject next = hold(stage, {"hold", name});
    blocks_after(stage, next, "waiting\n", "the next one waits", without_effect);
    Subject after = hold(stage, {"hold", name});
    blocks_after(stage, after, "waiting\n", "the one after it waits", without_effect);
    owner.process().kill();
    owner.ends();
    Subject& heir = first_ready(stage, {&next, &after}, "one of those who wait gets it when its owner has been killed", windows ? "" : "not-robust");
    const std::string told = heir.ready();
    stage.require(told == "abandoned", {"it prints \"ready abandoned\": the owner may have left things half done", shown("ready" + (told.empty() ? "" : " " + told)), "", "", "abandoned-not-told"});
    Subject& last = &heir == &next ? after : next;
    blocks_after(stage, last, "waiting\n", "the other one waits on", without_effect);
    lets_go(heir);
    comes_to(stage, last, "waiting\nready\n", "the one after that has it, and all is well again", "");
    // Nobody may be left who has it still: not even one who took it as an abandoned one.
    try_fails(stage, {"try", name, "--timeout", "0"}, without_effect);
    lets_go(last);
    try_says(stage, {"try", name}, "taken", "");
}

CASE("6.6 two processes that take two mutexes in opposite orders do not wait for each other" * points(6) * section("two-locks") *
     hints("One has A and wants B, the other has B and wants A. Which of the two steps could you forbid?",
           "If everybody takes them in the same order, whatever order they were named in, there is never a circle.",
           "Compare first.name() with second.name() and lock the smaller one first. The same mutex twice is then nothing special.")) {
    const std::string a = stage.name("a"), b = stage.name("b");
    stage.by_hand("for i in 1 2 3 4; do lab-06 hold A B </dev/null & lab-06 hold B A </dev/null & done; wait");
    Subject has_a = hold(stage, {"hold", a}), has_b = hold(stage, {"hold", b});
    has_a.ready();
    has_b.ready();
    // Whoever takes what it was named first: `ab` waits for A, `ba` for B, and so each gets one of the two.
    Subject ab = hold(stage, {"hold", a, b});
    blocks_after(stage, ab, "waiting\n", "with one of the two taken, it waits", without_effect);
    Subject ba = hold(stage, {"hold", b, a});
    blocks_after(stage, ba, "waiting\n", "with one of the two taken, it waits", without_effect);
    lets_go(has_a);
    blocks_after(stage, ab, "waiting\n", "with one of the two taken, it waits", without_effect);
    blocks_after(stage, ba, "waiting\n", "with one of the two taken, it waits", without_effect);
    lets_go(has_b);
    Subject& one = first_ready(stage, {&ab, &ba}, "when both mutexes are free again, one of the two processes gets both", "lock-order");
    Subject& other = &one == &ab ? ba : ab;
    stage.require(one.ready().empty(), {"\"ready\": nobody died", "\"ready abandoned\"", "", "", ""});
    blocks_after(stage, other, "waiting\n", "the other waits until both are given back", without_effect);
    gives_one_back(stage, one);
    other.ready("lock-order");
    lets_go(one);
    lets_go(other);
    Subject twice = hold(stage, {"hold", a, a});
    twice.ready(windows ? "" : "not-recursive");
    lets_go(twice);
}

CASE("6.7 whoever does not get both keeps neither" * points(3) * section("two-locks") *
     hints("You have the first, and the time is over while you wait for the second. What do you still hold when you return?",
           "The caller hears 'timed out' and will not give anything back.",
           "When the second lock() says Taken::timed_out, unlock the first before you return.")) {
    const std::string a = stage.name("a"), b = stage.name("b"), c = stage.name("c"), d = stage.name("d");
    stage.by_hand("sleep 9 | lab-06 hold B & sleep 1; lab-06 try A B --timeout 500; echo $?");
    try_says(stage, {"try", a, b, "--timeout", "0"}, "taken", "");
    // Twice at once: whichever of the two it takes first, one time that is the free one.
    Subject has_b = hold(stage, {"hold", b}), has_c = hold(stage, {"hold", c});
    has_b.ready();
    has_c.ready();
    // These have the free ones open, and will hear how they were left.
    Subject next_a = hold(stage, {"hold", a, "--step"}), next_d = hold(stage, {"hold", d, "--step"});
    Subject one = stage.start({"try", a, b, "--timeout", "150"}), other = stage.start({"try", c, d, "--timeout", "150"});
    for (Subject* both : {&one, &other})
        ends_with(stage, *both, time_over, "whoever cannot get both gives up when the time is over", "");
    for (Subject* next : {&next_a, &next_d}) {
        next->feed("\n");
        comes_to(stage, *next, "waiting\nready\n", "whoever did not get both has given back the one, and the next has it", "first-lock-kept");
        lets_go(*next);
    }
    lets_go(has_b);
    lets_go(has_c);
}

}

EXERCISE("Exercise 2: a semaphore") {

CASE("6.8 a semaphore of one permit keeps the workers apart" * points(4) * section("exercise-2-a-semaphore") *
     hints("How many permits are there at the beginning?",
           "One permit, and whoever has it is alone. sem_init() has to be told that several processes will use it; CreateSemaphoreW takes the initial number and the maximum.",
           "sem_init(&semaphore, 1, permits) in NamedObject's prepare function; CreateSemaphoreW(nullptr, permits, permits, name). Not 0 at the beginning: that would be a door without a key.")) {
    stage.by_hand("lab-06 count --lock semaphore --workers 2 --increments 1 --step    # then Enter, slowly");
    count_by_schedule(stage, "semaphore", 2, {"semaphore-begins-empty", "", ""});
    counts_exactly(stage, "semaphore");
}

CASE("6.9 as many as there are permits get one and the next one waits" * points(3) * section("exercise-2-a-semaphore") *
     hints("Who decides how many permits there are, if five processes open the semaphore?",
           "Only the first one makes it. Opening it again must not fill it again.",
           "Prepare it once, where NamedObject asks you to; CreateSemaphoreW ignores the numbers if it exists. The timeout is the one of sem_clockwait() or WaitForSingleObject().")) {
    const std::string name = stage.name("permits"), many = std::to_string(stage.random().between(2, 3));
    stage.by_hand("sleep 9 | lab-06 hold P --permits 2 & sleep 9 | lab-06 hold P --permits 2 & sleep 1; lab-06 try P --permits 2 --timeout 300");
    std::vector<Subject> holders;
    for (int i = 0; i < std::atoi(many.c_str()); ++i) {
        holders.push_back(hold(stage, {"hold", name, "--permits", many}));
        holders.back().ready("semaphore-begins-empty");
    }
    const Mistake filled = windows ? "" : "semaphore-filled-again";
    try_fails(stage, {"try", name, "--permits", many, "--timeout", "0"}, filled);
    const auto begin = std::chrono::steady_clock::now();
    try_fails(stage, {"try", name, "--permits", many, "--timeout", "200"}, filled);
    const auto took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    stage.require(took >= milliseconds(195), {"it tries for 200 ms", "it gave up after " + std::to_string(took.count()) + " ms", "", "", ""});
    Subject next = hold(stage, {"hold", name, "--permits", many});
    blocks_after(stage, next, "waiting\n", "without a free permit it waits", filled);
    lets_go(holders.back());
    comes_to(stage, next, "waiting\nready\n", "one gives his permit back, and the one who waits has it", "");
    lets_go(next);
    for (std::size_t i = 0; i + 1 < holders.size(); ++i)
        lets_go(holders[i]);
}

CASE("6.10 there are never more permits than in the beginning" * points(3) * section("more-than-all") *
     hints("A permit is given back twice by mistake. How many processes may now be inside?",
           "sem_post() adds 1 without asking. Windows knows the maximum: ReleaseSemaphore() fails with ERROR_TOO_MANY_POSTS, if you look.",
           "Keep the maximum beside the semaphore. Look at sem_getvalue() and call sem_post() with a lock of their own around the two, and throw EOVERFLOW when it is full.")) {
    const std::string name = stage.name("permits");
    stage.by_hand("lab-06 hold P --permits 2    # Enter, and once more");
    Subject holder = hold(stage, {"hold", name, "--permits", "2"});
    holder.ready("semaphore-begins-empty");
    gives_one_back(stage, holder);
    refuses_another(stage, holder, "semaphore-without-maximum");
    // And nothing is broken by the attempt.
    try_says(stage, {"try", name, "--permits", "2", "--timeout", "0"}, "taken", "");
}

CASE("6.24 a permit has no owner: others may give it back and the killed do not" * points(2) * section("kill-dash-nine") *
     hints("Somebody is killed with a permit in hand. Does anybody know that it was his?",
           "A mutex is somebody's; a semaphore only counts. What the kernel would put right for a dead process, another one may have given back already.",
           "A plain sem_t or CreateSemaphoreW does it. SEM_UNDO does not: when the killed process's permit has been given back by another, there would be one more than there ever was.")) {
    const std::string name = stage.name("permits");
    stage.by_hand("sleep 9 | lab-06 hold P --permits 1 & sleep 1; kill -9 $!; lab-06 try P --permits 1 --timeout 300; echo $?");
    const Mistake undone = windows ? "" : "permits-with-undo";
    Subject victim = hold(stage, {"hold", name, "--permits", "2"}), other = hold(stage, {"hold", name, "--permits", "2"});
    victim.ready();
    other.ready();
    victim.process().kill();
    victim.ends();
    try_fails(stage, {"try", name, "--permits", "2", "--timeout", "0"}, undone, "", "one permit is taken and the other was taken along by the dead");
    gives_one_back(stage, other);
    try_says(stage, {"try", name, "--permits", "2", "--timeout", "0"}, "taken", "");
    gives_one_back(stage, other);  // the killed one's
    Subject one = hold(stage, {"hold", name, "--permits", "2"}), two = hold(stage, {"hold", name, "--permits", "2"});
    one.ready();
    two.ready();
    try_fails(stage, {"try", name, "--permits", "2", "--timeout", "0"}, undone);
    for (Subject* each : {&other, &one, &two})
        lets_go(*each);
}

}

EXERCISE("Exercise 3: an event") {

CASE("6.11 a signal lets one waiter through an automatic event" * points(5) * section("exercise-3-an-event") *
     hints("Three wait, one signal comes. How do they agree on who goes?",
           "The signal is used up by the one who takes it, in one step: nobody can come between looking and taking.",
           "compare_exchange from signalled to not signalled; who fails sleeps again. CreateEventW with bManualReset = FALSE does it all.")) {
    const std::string name = stage.name("event");
    stage.by_hand("lab-06 wait E & lab-06 wait E & sleep 1; lab-06 signal E");
    std::list<Subject> waiters;
    for (int i = 0; i < 3; ++i) {
        waiters.push_back(stage.start({"wait", name, "--auto"}));
        waiters.back().ready();
        blocks_after(stage, waiters.back(), "ready\n", "it waits, for nothing has been signalled", "event-begins-signalled");
    }
    while (!waiters.empty()) {
        does(stage, {"signal", name});
        auto gone = waiters.end();
        stage.await([&](Deadline) {
            for (auto one = waiters.begin(); one != waiters.end() && gone == waiters.end(); ++one)
                if (one->process().wait(Deadline::in(milliseconds(2))))
                    gone = one;
            return gone != waiters.end();
        }, "one of those who wait is let through", "");
        gone->prints("ready\nsignalled\n");
        gone->exits(0);
        waiters.erase(gone);
        for (Subject& other : waiters)
            blocks_after(stage, other, "ready\n", "one signal lets one through; the others wait on", "automatic-not-used-up");
    }
    Subject late = stage.start({"signal", name});
    ends_with(stage, late, 1, "with the last who had it open the event is gone, and nobody is left to be signalled", "");
}

CASE("6.12 a signal opens a manual event for all until reset closes it" * points(5) * section("exercise-3-an-event") *
     hints("A starting gun, or a gate? What should somebody see who comes a moment after the signal?",
           "Everybody who waits is woken, and everybody who comes later walks through, until reset().",
           "Wake all (FUTEX_WAKE with INT_MAX) and leave it signalled; CreateEventW with bManualReset = TRUE.")) {
    const std::string name = stage.name("event");
    stage.by_hand("sleep 9 | lab-06 wait E --manual --step & lab-06 wait E --manual & sleep 1; lab-06 signal E; lab-06 wait E --manual");
    Subject keeper = stage.start({"wait", name, "--manual", "--count", "2", "--step"});  // has it open, and does not wait yet
    keeper.ready();
    Subject one = stage.start({"wait", name, "--manual"}), other = stage.start({"wait", name, "--manual"});
    for (Subject* waiter : {&one, &other}) {
        waiter->ready();
        blocks_after(stage, *waiter, "ready\n", "it waits, for nothing has been signalled", "event-begins-signalled");
    }
    does(stage, {"signal", name});
    for (Subject* waiter : {&one, &other}) {
        comes_to(stage, *waiter, "ready\nsignalled\n", "one signal lets everybody through who waits", windows ? "manual-used-up" : "manual-wakes-one");
        waiter->exits(0);
    }
    const Mistake used_up = windows ? "manual-used-up" : "";
    Subject late = stage.start({"wait", name, "--manual", "--timeout", "5000"});
    comes_to(stage, late, "ready\nsignalled\n", "who comes later goes through too", used_up);
    late.exits(0);
    does(stage, {"reset", name});
    Subject outside = stage.start({"wait", name, "--manual"});
    outside.ready();
    blocks_after(stage, outside, "ready\n", "after reset it waits", "");
    does(stage, {"signal", name});
    outside.exits(0);
    keeper.feed("\n\n");
    comes_to(stage, keeper, "ready\nsignalled\nsignalled\n", "the event stays signalled, and lets it through twice", used_up);
    keeper.exits(0);
}

CASE("6.13 a signal that comes before the wait is not lost and two of them are one" * points(5) * section("lost-wake-ups") *
     hints("Nobody waits when the signal comes. Where is it until somebody does?",
           "A wake-up is a moment; it wakes whoever sleeps and is forgotten. The signal has to be a state that the next one looks at before it sleeps.",
           "Store 'signalled' first and wake afterwards; in wait() look first. Do not count: what is signalled and signalled again is signalled.")) {
    const std::string name = stage.name("event");
    stage.by_hand("lab-06 wait E --count 3 --step    # in another terminal: lab-06 signal E, then Enter here");
    Subject waiter = stage.start({"wait", name, "--auto", "--count", "3", "--step"});
    waiter.ready();
    does(stage, {"signal", name});
    waiter.feed("\n");
    comes_to(stage, waiter, "ready\nsignalled\n", "it was signalled before it waits, and goes through", lost_signal);
    does(stage, {"signal", name});
    does(stage, {"signal", name});
    waiter.feed("\n");
    comes_to(stage, waiter, "ready\nsignalled\nsignalled\n", "it was signalled before it waits, and goes through", lost_signal);
    steps_and_blocks(stage, waiter, "ready\nsignalled\nsignalled\n", "of two signals that nobody took, one is left", windows ? "" : "signals-counted");
    does(stage, {"signal", name});
    comes_to(stage, waiter, "ready\nsignalled\nsignalled\nsignalled\n", "it is signalled while it waits, and goes through", lost_signal);
    waiter.exits(0);
    Subject in_vain = stage.start({"wait", name, "--timeout", "200"});
    in_vain.ready();
    ends_with(stage, in_vain, time_over, "nobody signals it, and it gives up when the time is over", "");
}

CASE("6.14 a waiter that is killed takes nothing with it" * points(4) * section("a-waiter-dies") *
     hints("You count who sleeps, and a sleeper is killed. What does the count say from then on?",
           "Condition variables keep such a count in shared memory, and a later signal waits for the dead to confirm. There is no robust condition variable.",
           "Let the kernel keep the list: one word, futex(2) FUTEX_WAIT on it while it is not signalled, FUTEX_WAKE for all, and everybody looks again. Windows' events do the same.")) {
    const std::string name = stage.name("event");
    stage.by_hand("lab-06 wait E --count 2 & lab-06 wait E & sleep 1; kill -9 $!; lab-06 signal E; lab-06 signal E");
    Subject keeper = stage.start({"wait", name, "--auto", "--step"});
    keeper.ready();
    for (int round = 0; round < 2; ++round) {
        Subject victim = stage.start({"wait", name, "--auto"});
        victim.ready();
        blocks(stage, victim, "it waits", "event-begins-signalled");
        Subject heir = stage.start({"wait", name, "--auto"});
        heir.ready();
        blocks(stage, heir, "it waits", "event-begins-signalled");
        victim.process().kill();
        victim.ends();
        signals(stage, name);
        comes_to(stage, heir, "ready\nsignalled\n", "the signal is for the one who still lives", waits_for_the_dead);
        heir.exits(0);
    }
    signals(stage, name);
    keeper.feed("\n");
    comes_to(stage, keeper, "ready\nsignalled\n", "the signal before this wait is not lost", waits_for_the_dead);
    keeper.exits(0);
}

CASE("6.15 breakfast is served in order whoever comes first" * points(6) * section("the-breakfast-of-the-article") *
     hints("The customer has ordered before the vendor came. Who has heard it?",
           "One event for both directions, set and cleared by the one who notifies: the other sees it only if he happens to be waiting at that moment.",
           "Two automatic events, 'it is the vendor's turn' and 'it is the customer's turn'. You signal the other's and wait for your own; nobody resets anything.")) {
    const std::string name = stage.name("breakfast");
    stage.by_hand("lab-06 breakfast customer B --step    # in another terminal: lab-06 breakfast vendor B --step");
    const std::string order = "customer: one breakfast, please", serve = "vendor: here you are", eat = "customer: delicious",
                      pay = "customer: here is the money", thank = "vendor: thank you";
    std::map<Subject*, std::string> said;
    auto says = [&](Subject& who, const std::string& expected) {
        said[&who] += expected + "\n";
        const std::string what = "the next line is " + shown(expected);
        const std::string printed = has_printed(stage, who, said[&who].size(), what, "signal-cleared-at-once");
        stage.require(printed == said[&who], {what, difference(printed, said[&who]), "", "", "breakfast-out-of-turn"});
    };
    {
        // The customer is first: his signal is given before there is a vendor.
        Subject customer = stage.start({"breakfast", "customer", name, "--step"});
        says(customer, order);
        steps_and_blocks(stage, customer, order + "\n", "the customer waits for the vendor", "breakfast-out-of-turn");
        Subject vendor = stage.start({"breakfast", "vendor", name, "--step"});
        says(vendor, serve);
        blocks_after(stage, customer, order + "\n", "the customer waits until the vendor has said his line", "breakfast-out-of-turn");
        vendor.feed("\n");
        says(customer, eat);
        blocks_after(stage, vendor, serve + "\n", "the vendor waits for the money", "breakfast-out-of-turn");
        customer.feed("\n");
        says(customer, pay);
        blocks_after(stage, vendor, serve + "\n", "the vendor waits for the money", "breakfast-out-of-turn");
        customer.feed("\n");
        says(vendor, thank);
        blocks(stage, customer, "the customer leaves when he has been thanked", "breakfast-out-of-turn");
        vendor.feed("\n");
        vendor.exits(0);
        customer.exits(0, "signal-cleared-at-once");
    }
    {
        Subject vendor = stage.start({"breakfast", "vendor", name, "--rounds", "3"});
        blocks_after(stage, vendor, "", "the vendor waits for a customer", "breakfast-out-of-turn");
        Subject customer = stage.start({"breakfast", "customer", name, "--rounds", "3"});
        customer.exits(0, "signal-cleared-at-once");
        vendor.exits(0, "signal-cleared-at-once");
    }
    std::string all;
    for (int round = 0; round < 20; ++round)
        all += order + "\n" + serve + "\n" + eat + "\n" + pay + "\n" + thank + "\n";
    Subject both = stage.start({"breakfast", stage.name("breakfast"), "--rounds", "20"});
    both.prints(all, "breakfast-out-of-turn");
    both.exits(0);
    // The article's way, with both signals sent before anybody waits: an event that works lets both wait in vain.
    Subject one = stage.start({"breakfast", "vendor", name, "--article", "--step", "--timeout", "100"});
    Subject other = stage.start({"breakfast", "customer", name, "--article", "--step", "--timeout", "100"});
    one.line();
    other.line();
    one.feed("\n");
    other.feed("\n");
    for (Subject* each : {&one, &other})
        ends_with(stage, *each, time_over, "a signal that was cleared away before the wait lets nobody through", "");
}

}

EXERCISE("Exercise 4: limit") {

CASE("6.16 limit runs the command and ends as the command ends" * points(3) * section("exercise-4-limit") *
     hints("Whose exit code does a script want to see?",
           "The command's: limit is in front of it and should be invisible.",
           "Wait for the child and return WEXITSTATUS, or 128 + WTERMSIG; on Windows GetExitCodeProcess(). A command that is not there is not_started with ENOENT or ERROR_FILE_NOT_FOUND.")) {
    const std::string name = stage.name("limit"), word = stage.random().word(12), nothing = "no-such-command-" + stage.random().word(6);
    const auto code = static_cast<std::uint32_t>(stage.random().between(3, 70));
    stage.by_hand("echo hello | lab-06 limit L --slots 1 -- sh -c 'cat; exit 3'; echo $?");
    Puppet command = stage.puppet();
    Subject lab = stage.start(limit(name, 1, command));
    command.started();
    lab.feed(word);
    const std::string heard = command.read(word.size()).bytes;
    stage.require(heard == word, {"the command reads limit's standard input", difference(heard, word), "", "", ""});
    command.write(word);
    lab.idles("busy-waiting");
    command.exit(code);
    lab.prints(word);
    lab.exits(code, "exit-code-lost");
    Subject missing = stage.start({"limit", name, "--slots", "1", "--", nothing});
    ends_with(stage, missing, 127, "a command that is not there is reported as the shell does it", "");
    missing.complains(nothing);
}

CASE("6.17 at most as many commands run as there are slots" * points(5) * section("exercise-4-limit") *
     hints("Three callers, two slots. What does the third wait for?",
           "For the end of any of the two commands, whichever is first. Sleeping and looking again is not waiting.",
           "A System V semaphore (semop) or one mutex a slot (WaitForMultipleObjects): both wait for any of them in one call, with a timeout.")) {
    const std::string name = stage.name("limit");
    stage.by_hand("for i in 1 2 3 4; do lab-06 limit L --slots 2 -- sleep 1 & done; time wait");
    Puppet one = stage.puppet(), two = stage.puppet(), three = stage.puppet(), four = stage.puppet();
    Subject first = stage.start(limit(name, 2, one));
    one.started();
    Subject second = stage.start(limit(name, 2, two));
    two.started(windows ? "slot-chosen-beforehand" : "");
    Subject third = stage.start(limit(name, 2, three));
    third.idles("polling");
    blocks(stage, third, "two commands run, and the third waits", "");
    stage.require(!runs_a_command(third), {"two commands run, and the third waits", "the third one was started too", "", "", ""});
    Subject fourth = stage.start(limit(name, 2, four, {"--timeout", "150"}));
    ends_with(stage, fourth, time_over, "no slot becomes free in time, and it gives up", "");
    two.exit(0);
    second.exits(0);
    three.started();
    one.exit(0);
    three.exit(0);
    first.exits(0);
    third.exits(0);
    Subject other = stage.start({"limit", name, "--slots", "2", "--", "no-such-command-" + stage.random().word(6)});
    ends_with(stage, other, 127, "a command that is not there is reported as the shell does it", "");
}

CASE("6.18 a slot is free again however the command or limit itself was ended" * points(6) * section("kill-dash-nine") *
     hints("Nobody can clean up after a kill -9 in the killed process. Who else could?",
           "The kernel takes back what it knows to be a process's: SEM_UNDO of semop(2), file locks, mutexes with an owner. A sem_t or a Windows semaphore has no owner.",
           "POSIX: semop() with SEM_UNDO, done by the child before exec; and PR_SET_PDEATHSIG, so that the command dies with limit. Windows: a mutex a slot (WAIT_ABANDONED_0 + i counts as got), and a job with KILL_ON_JOB_CLOSE.")) {
    know_lost_mutexes(stage);
    const std::string name = stage.name("limit");
    stage.by_hand("lab-06 limit L --slots 1 -- sleep 100 & sleep 1; kill -9 $!; lab-06 limit L --slots 1 -- echo free again");
    Puppet one = stage.puppet(), two = stage.puppet(), three = stage.puppet(), four = stage.puppet(), never = stage.puppet();
    auto waits_for_the_slot = [&](Puppet& command) {
        Subject lab = stage.start(limit(name, 1, command));
        blocks(stage, lab, "it waits for the slot", "");
        stage.require(!runs_a_command(lab), {"the next one waits for the slot", "its command was started", "", "", ""});
        return lab;
    };
    Subject first = stage.start(limit(name, 1, one));
    one.started();
    // The command is killed.
    Subject second = waits_for_the_slot(two);
    one.crash("kill");
    const Ended how = first.ends("slot-lost-with-its-holder");
    const std::uint32_t expected = windows ? 0xC000013A : 128 + 9;  // Windows knows no signals: a code like any other
    stage.require(how.code == expected, {"limit ends as its command did, with " + std::to_string(expected), how.text(), "", "", "exit-code-lost"});
    two.started("slot-lost-with-its-holder");
    // One that waits is killed; it has nothing yet, and takes nothing with it.
    Subject bystander = waits_for_the_slot(never);
    bystander.process().kill();
    bystander.ends();
    // limit itself is killed: the command ends too, and only then may the next one run.
    Subject third = waits_for_the_slot(three);
    second.process().kill();
    second.ends();
    two.gone("command-outlives-limit");
    three.started("slot-lost-with-its-holder");
    Subject fourth = waits_for_the_slot(four);
    three.exit(7);
    third.exits(7);
    four.started();
    four.exit(0);
    fourth.exits(0);
}

CASE("6.19 what cannot be is refused and nothing is harmed by it" * points(3) * section("names-are-shared") *
     hints("What does open answer when the name is there, but is something else?",
           "On POSIX, NamedObject throws for you. On Windows, CreateMutexW answers NULL and ERROR_INVALID_HANDLE when the name is a semaphore's.",
           "Look for NULL, and throw with GetLastError(). ERROR_ALREADY_EXISTS beside a handle is no error. For limit, keep the number of slots where all can see it.")) {
    const std::string name = stage.name("lock"), other = stage.name("limit");
    stage.by_hand("sleep 9 | lab-06 hold A & sleep 1; lab-06 try A --permits 2; lab-06 wait A; lab-06 limit A --slots 1 -- true");
    Subject owner = hold(stage, {"hold", name});
    owner.ready();
    auto refused = [&](const std::vector<std::string>& words, std::uint32_t code, const std::string& why, const Mistake& otherwise = {}) {
        Subject lab = stage.start(words);
        ends_with(stage, lab, code, why, otherwise);
        lab.prints("", otherwise);
        stage.require(!lab.errors().empty(), {"it says why on standard error", "nothing", "", "", ""});
    };
    const Mistake null_handle = windows ? "null-handle-not-seen" : "";
    refused({"try", name, "--permits", "2", "--timeout", "0"}, 1, "the name is a mutex's, no semaphore's", null_handle);
    refused({"wait", name, "--timeout", "0"}, 1, "the name is a mutex's, no event's", null_handle);
    refused({"limit", name, "--slots", "1", "--", "no-such-command"}, 1, "the name is a mutex's, no limit's", null_handle);
    try_fails(stage, {"try", name, "--timeout", "0"}, without_effect);
    gives_one_back(stage, owner);
    lets_go(owner);
    Puppet command = stage.puppet();
    Subject lab = stage.start(limit(other, 2, command));
    command.started();
    refused({"limit", other, "--slots", "3", "--", "no-such-command"}, 1, "there are 2 slots under that name, not 3", "number-of-slots-not-checked");
    command.exit(0);
    lab.exits(0);
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {"try"}, {"try", ""}, {"hold", "a/b"}, {"wait", "a\\b"}, {"try", std::string(300, 'x')}, {"try", name, "--timeout", "-1"},
             {"try", name, "--timeout", "99999999999999999999"}, {"limit", name, "--slots", "0", "--", "true"}, {"limit", name, "--slots", "1"}})
        refused(words, 2, "the command line cannot be meant");
    // Input that ends early is no reason to hang, or to leave anything behind.
    Start without_input;
    without_input.no_input = true;
    Subject alone = stage.start({"hold", name, "--step", "--times", "2"}, without_input);
    alone.prints("waiting\nready\n");
    alone.exits(0);
    Subject nobody = stage.start({"wait", name, "--step", "--timeout", "0"}, without_input);
    ends_with(stage, nobody, time_over, "nobody signals it", "");
}

}
