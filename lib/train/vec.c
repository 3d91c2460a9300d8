#include "train/vec.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* These loops are worth the widest vector instructions that this CPU has,
 * chosen when the program is loaded. The Makefile's options for this file let
 * comparisons and roots be vectors too, which neither trap nor set errno.
 * (clang 14 has the attribute but links it wrongly.) */
#if !defined(__x86_64__) || !defined(__linux__) || defined(__clang__) || defined(__SANITIZE_ADDRESS__)
#define WIDEST
#elif __GNUC__ >= 12
#define WIDEST __attribute__((target_clones("avx512f", "arch=x86-64-v3", "default")))
#else
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };

INLINE float tree(const float *a)
{
	float s[8];

	for (int i = 0; i < 8; i++)
		s[i] = a[i] + a[i + 8];
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* 2^k e^r with x = k ln 2 + r, |r| <= ln 2 / 2; the polynomial is the
 * minimax one of the Cephes library. A NaN stays one. Adding 1.5 * 2^23
 * rounds to an integer, which then stands in the low bits. */
INLINE float exp_of(float x)
{
	const float magic = 12582912.0f;
	float k, r, p, two_k;
	uint32_t bits;

	x = x < -87.0f ? -87.0f : x;
	x = x > 88.0f ? 88.0f : x;
	k = x * 1.44269504f + magic;
	memcpy(&bits, &k, sizeof bits);
	bits = (bits + 127) << 23;
	memcpy(&two_k, &bits, sizeof two_k);
	k -= magic;
	r = x - k * 0.693359375f;
	r -= k * -2.12194440e-4f;
	p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1.0f;
	return p * two_k;
}

WIDEST float vec_max(const float *x, size_t n)
{
	float a[LANES], max = x[0];
	size_t i = 0;

	if (n >= LANES) {
		memcpy(a, x, sizeof a);
		for (i = LANES; i + LANES <= n; i += LANES)
			for (int j = 0; j < LANES; j++)
				a[j] = x[i + j] > a[j] ? x[i + j] : a[j];
		for (int j = 0; j < LANES; j++)
			max = a[j] > max ? a[j] : max;
	}
	for (; i < n; i++)
		max = x[i] > max ? x[i] : max;
	return max;
}

WIDEST float vec_dot(const float *x, const float *y, size_t n)
{
	float a[LANES] = { 0 };
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (int j = 0; j < LANES; j++)
			a[j] += x[i + j] * y[i + j];
	for (int j = 0; i < n; i++, j++)
		a[j] += x[i] * y[i];
	return tree(a);
}

WIDEST float vec_dot3(const float *x, const float *y, const float *z, size_t n)
{
	float a[LANES] = { 0 };
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (int j = 0; j < LANES; j++)
			a[j] += x[i + j] * y[i + j] * z[i + j];
	for (int j = 0; i < n; i++, j++)
		a[j] += x[i] * y[i] * z[i];
	return tree(a);
}

WIDEST double vec_sumsq(const float *x, size_t n)
{
	double a[LANES] = { 0 }, sum = 0;
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (int j = 0; j < LANES; j++)
			a[j] += (double)x[i + j] * x[i + j];
	for (int j = 0; i < n; i++, j++)
		a[j] += (double)x[i] * x[i];
	for (int j = 0; j < LANES; j++)
		sum += a[j];
	return sum;
}

WIDEST void vec_add(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

WIDEST void vec_scale(float *x, float a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= a;
}

WIDEST float vec_sum_exp(const float *x, float shift, size_t n)
{
	float a[LANES] = { 0 };
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (int j = 0; j < LANES; j++)
			a[j] += exp_of(x[i + j] - shift);
	for (int j = 0; i < n; i++, j++)
		a[j] += exp_of(x[i] - shift);
	return tree(a);
}

WIDEST float vec_exp(float *x, float shift, size_t n)
{
	float a[LANES] = { 0 };
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (int j = 0; j < LANES; j++)
			a[j] += x[i + j] = exp_of(x[i + j] - shift);
	for (int j = 0; i < n; i++, j++)
		a[j] += x[i] = exp_of(x[i] - shift);
	return tree(a);
}

WIDEST void vec_scaled_exp(float *x, float shift, float a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = a * exp_of(x[i] - shift);
}

WIDEST void vec_softmax_back(float *restrict s, const float *restrict dp, float delta, float a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s[i] = s[i] * (dp[i] - delta) * a;
}

WIDEST void vec_swiglu(float *restrict y, const float *restrict gate, const float *restrict up, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = gate[i] / (1.0f + exp_of(-gate[i])) * up[i];
}

WIDEST void vec_swiglu_back(float *restrict dy, float *restrict dup, float *restrict act,
    const float *restrict gate, const float *restrict up, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float s = 1.0f / (1.0f + exp_of(-gate[i])), silu = gate[i] * s;

		act[i] = silu * up[i];
		dup[i] = dy[i] * silu;
		dy[i] *= up[i] * s * (1.0f + gate[i] * (1.0f - s));
	}
}

WIDEST void vec_norm(float *restrict y, const float *restrict x, const float *restrict w, float r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * r * w[i];
}

WIDEST void vec_norm_back(float *restrict dx, float *restrict dw, const float *restrict dy,
    const float *restrict x, const float *restrict w, float r, float c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		dx[i] += dy[i] * w[i] * r - x[i] * c;
		dw[i] += dy[i] * x[i] * r;
	}
}

WIDEST void vec_adamw(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
    const struct adamw_constants *restrict k, size_t n)
{
	const struct adamw_constants c = *k;

	for (size_t i = 0; i < n; i++) {
		float gi = g[i] * c.grad_scale;

		w[i] *= c.keep;
		m[i] += (gi - m[i]) * c.beta1_left;
		v[i] = v[i] * c.beta2 + gi * gi * c.beta2_left;
		w[i] -= c.step * m[i] / (sqrtf(v[i]) * c.inv_root + c.eps);
	}
}
