#include "model/ops.h"

#include <math.h>

#include "model/kernels/kernels.h"

/* Sixteen partial sums over i mod 16, then pairs: as in the products. */
static float sum_of_squares(const float *x, int n)
{
	float s[16] = { 0 };
	int i = 0;
	for (; i + 16 <= n; i += 16)
		for (int l = 0; l < 16; l++)
			s[l] += x[i + l] * x[i + l];
	for (int l = 0; i < n; i++, l++)
		s[l] += x[i] * x[i];
	for (int width = 8; width > 0; width /= 2)
		for (int l = 0; l < width; l++)
			s[l] += s[l + width];
	return s[0];
}

float op_rmsnorm(float *y, const float *x, const float *w, int n, float eps)
{
	const float scale = 1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps);
	for (int i = 0; i < n; i++)
		y[i] = x[i] * scale * w[i];
	return scale;
}

void op_rope_angles(float *cosine, float *sine, int rope_dims, int pos, const float *inv_freq)
{
	for (int i = 0; i < rope_dims / 2; i++) {
		const float angle = (float)pos * inv_freq[i];
		cosine[i] = cosf(angle);
		sine[i] = sinf(angle);
	}
}

/* Pair i is (x[i step], x[i step + apart]). */
static inline void turn(float *x, int heads, int head_size, int pairs, int step, int apart,
    const float *cosine, const float *sine, int dir)
{
	for (int h = 0; h < heads; h++, x += head_size)
		for (int i = 0; i < pairs; i++) {
			const float a = x[i * step], b = x[i * step + apart];
			const float c = cosine[i], s = dir < 0 ? -sine[i] : sine[i];
			x[i * step] = a * c - b * s;
			x[i * step + apart] = a * s + b * c;
		}
}

void op_rope_turn(float *x, int heads, int head_size, int rope_dims, enum rope_layout layout,
    const float *cosine, const float *sine, int dir)
{
	const int pairs = rope_dims / 2;
	if (layout == ROPE_PAIRS)
		turn(x, heads, head_size, pairs, 2, 1, cosine, sine, dir);
	else
		turn(x, heads, head_size, pairs, 1, pairs, cosine, sine, dir);
}

void op_rope(float *x, int heads, int head_size, int rope_dims, enum rope_layout layout, int pos,
    const float *inv_freq, int dir)
{
	float cosine[MAX_HEAD_SIZE / 2], sine[MAX_HEAD_SIZE / 2];
	op_rope_angles(cosine, sine, rope_dims, pos, inv_freq);
	op_rope_turn(x, heads, head_size, rope_dims, layout, cosine, sine, dir);
}

void op_swiglu(float *y, const float *gate, const float *up, size_t n)
{
	kernels()->swiglu(y, gate, up, n);
}

double op_logsumexp(const float *x, size_t n)
{
	float max = -INFINITY;
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		max = x[i] > max ? x[i] : max;
	if (max == -INFINITY)
		return -INFINITY;
	for (size_t i = 0; i < n; i++)
		sum += exp((double)x[i] - max);
	return max + log(sum);
}
