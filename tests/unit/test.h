/*
 * A few lines of test harness. Each unit test is a program: it prints a line
 * "ok - …" or "not ok - …" for each check group and ends with tests_done().
 */
#ifndef MR_TEST_H
#define MR_TEST_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tests_passed, tests_failed;
static bool test_ok = true;

/* Inside a test: a condition that must hold; prints where it does not. */
#define CHECK(cond) do { if (!(cond)) { test_ok = false; \
	printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); } } while (0)
#define CHECK_NEAR(a, b, tol) do { double a_ = (a), b_ = (b); if (!(fabs(a_ - b_) <= (tol))) { test_ok = false; \
	printf("# %s:%d: %s = %.17g, wanted %.17g\n", __FILE__, __LINE__, #a, a_, b_); } } while (0)
#define CHECK_STR(a, b) do { const char *a_ = (a), *b_ = (b); if (!a_ || strcmp(a_, b_) != 0) { test_ok = false; \
	printf("# %s:%d: %s = \"%s\", wanted \"%s\"\n", __FILE__, __LINE__, #a, a_ ? a_ : "(null)", b_); } } while (0)

/* Runs a function of checks as one named test. */
#define TEST(fn) do { test_ok = true; fn(); printf("%s - %s\n", test_ok ? "ok" : "not ok", #fn); \
	if (test_ok) tests_passed++; else tests_failed++; fflush(stdout); } while (0)

static inline int tests_done(void)
{
	printf("# %d passed, %d failed\n", tests_passed, tests_failed);
	return tests_failed != 0;
}

#endif
