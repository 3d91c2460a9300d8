#include "train/ranks.h"

#include <stdlib.h>
#include <string.h>

void ranks_share(uint32_t n, uint32_t *from, uint32_t *to)
{
	uint64_t rank = (uint64_t)ranks_rank(), count = (uint64_t)ranks_count();

	*from = (uint32_t)(n * rank / count);
	*to = (uint32_t)(n * (rank + 1) / count);
}

#ifdef MR_MPI

#include <mpi.h>

#include "base/mem.h"

enum { PIECE = 1 << 20 };       /* numbers that go round at once */

static int rank, count = 1;

void ranks_stop(void)
{
	int over = 0;

	MPI_Finalized(&over);
	if (!over)
		MPI_Finalize();
}

void ranks_start(void)
{
	MPI_Init(NULL, NULL);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &count);
	if (count == 1)
		atexit(ranks_stop);
}

int ranks_rank(void)
{
	return rank;
}

int ranks_count(void)
{
	return count;
}

void ranks_sum(double *x, size_t n)
{
	double *all;

	if (count == 1)
		return;
	all = mem_zalloc((size_t)count * n + 1, sizeof *all);
	MPI_Allgather(x, (int)n, MPI_DOUBLE, all, (int)n, MPI_DOUBLE, MPI_COMM_WORLD);
	for (size_t i = 0; i < n; i++) {
		x[i] = all[i];
		for (int r = 1; r < count; r++)
			x[i] += all[(size_t)r * n + i];
	}
	free(all);
}

void ranks_sum_floats(float *x, size_t n)
{
	size_t piece = n < PIECE ? n : PIECE;
	float *all;

	if (count == 1)
		return;
	all = mem_zalloc((size_t)count * piece + 1, sizeof *all);
	for (size_t at = 0; at < n; at += piece) {
		size_t k = n - at < piece ? n - at : piece;

		MPI_Allgather(x + at, (int)k, MPI_FLOAT, all, (int)k, MPI_FLOAT, MPI_COMM_WORLD);
		for (size_t i = 0; i < k; i++) {
			x[at + i] = all[i];
			for (int r = 1; r < count; r++)
				x[at + i] += all[(size_t)r * k + i];
		}
	}
	free(all);
}

bool ranks_any(bool here)
{
	int mine = here, any = mine;

	if (count > 1)
		MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
	return any != 0;
}

int ranks_agree(int rc, struct err *err)
{
	int mine = rc ? rank : count, first = mine;

	if (count == 1)
		return rc;
	MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
	if (first == count)
		return 0;
	MPI_Bcast(err->msg, (int)sizeof err->msg, MPI_CHAR, first, MPI_COMM_WORLD);
	return -1;
}

#else

void ranks_start(void)
{
}

void ranks_stop(void)
{
}

int ranks_rank(void)
{
	return 0;
}

int ranks_count(void)
{
	return 1;
}

void ranks_sum(double *x, size_t n)
{
	(void)x;
	(void)n;
}

void ranks_sum_floats(float *x, size_t n)
{
	(void)x;
	(void)n;
}

bool ranks_any(bool here)
{
	return here;
}

int ranks_agree(int rc, struct err *err)
{
	(void)err;
	return rc;
}

#endif
