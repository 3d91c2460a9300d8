/*
 * Attention and the exponential's users, for one instruction set: included
 * once by each cpu_*.c after matmul_body.h.
 *
 * Attention runs over the positions in blocks of KV_POSITIONS counted from
 * the sequence's start, with a running maximum (the sums are rescaled where
 * it grows), so that the order of every sum depends on nothing but the
 * number of positions. A score is summed over d in order, lanes being
 * positions; an output element over positions in order, lanes being d.
 */


enum { HEADS_AT_ONCE = 4, VECS = 2 };

/* exp(x) to about two units in the last place: 2^n times a polynomial in the
 * rest, |rest| <= ln 2 / 2 (Taylor's to the seventh power); 0 below -87. */
INLINE vec v_exp(vec x)
{
	const vec magic = v_set1(12582912.0f);          /* 1.5 * 2^23: adding it rounds to an integer */
	const ivec keep = x >= v_set1(-87.0f);
	x = v_min(v_max(x, v_set1(-87.0f)), v_set1(88.0f));
	const vec t = v_fma(x, v_set1(1.44269504f), magic);
	const vec n = t - magic;
	const vec r = v_fma(n, v_set1(-1.42860677e-6f), v_fma(n, v_set1(-0.693145752f), x));
	vec p = v_set1(1.0f / 5040);
	p = v_fma(p, r, v_set1(1.0f / 720));
	p = v_fma(p, r, v_set1(1.0f / 120));
	p = v_fma(p, r, v_set1(1.0f / 24));
	p = v_fma(p, r, v_set1(1.0f / 6));
	p = v_fma(p, r, v_set1(0.5f));
	p = v_fma(p, r, v_set1(1.0f));
	p = v_fma(p, r, v_set1(1.0f));
	const ivec power = ((ivec)t << 23) + (ivec)v_set1(1.0f);
	return (vec)((ivec)(p * (vec)power) & keep);
}

INLINE vec v_swiglu(vec gate, vec up)
{
	return gate / (v_set1(1.0f) + v_exp(-gate)) * up;
}

static void swiglu(float *y, const float *gate, const float *up, size_t n)
{
	for (; n >= LANES; n -= LANES, y += LANES, gate += LANES, up += LANES)
		v_store(y, v_swiglu(v_load(gate), v_load(up)));
	if (n) {
		float tail[2][LANES] = { 0 };
		memcpy(tail[0], gate, n * sizeof(float));
		memcpy(tail[1], up, n * sizeof(float));
		v_store(tail[0], v_swiglu(v_load(tail[0]), v_load(tail[1])));
		memcpy(y, tail[0], n * sizeof(float));
	}
}

static void exp_scaled(float *y, const float *x, size_t n, float shift, float scale)
{
	const vec s = v_set1(shift), f = v_set1(scale);
	for (; n >= LANES; n -= LANES, y += LANES, x += LANES)
		v_store(y, v_exp((v_load(x) - s) * f));
	if (n) {
		float tail[LANES] = { 0 };
		memcpy(tail, x, n * sizeof(float));
		v_store(tail, v_exp((v_load(tail) - s) * f));
		memcpy(y, tail, n * sizeof(float));
	}
}

/* s (heads, KV_POSITIONS) = q (heads, D) k (D, KV_POSITIONS) */
INLINE void scores(const int heads, float *s, const float *q, const float *k, int d)
{
	for (int p = 0; p < KV_POSITIONS; p += VECS * LANES) {
		vec a[HEADS_AT_ONCE * VECS];
		UNROLL
		for (int i = 0; i < heads * VECS; i++)
			a[i] = v_set1(0.0f);
		const float *kp = k + p;
		for (int i = 0; i < d; i++, kp += KV_POSITIONS) {
			const vec k0 = v_load_once(kp), k1 = v_load_once(kp + LANES);
			UNROLL
			for (int h = 0; h < heads; h++) {
				const vec b = v_set1(q[h * d + i]);
				a[h * VECS] = v_fma(b, k0, a[h * VECS]);
				a[h * VECS + 1] = v_fma(b, k1, a[h * VECS + 1]);
			}
		}
		UNROLL
		for (int i = 0; i < heads * VECS; i++)
			v_store(s + i / VECS * KV_POSITIONS + p + i % VECS * LANES, a[i]);
	}
}

/* acc (heads, stride) += p (heads, KV_POSITIONS) v (n, stride), of nv * LANES elements. */
INLINE void values(const int heads, const int nv, float *acc, const float *p, const float *v, int stride,
    int n)
{
	vec a[HEADS_AT_ONCE * VECS];
	UNROLL
	for (int i = 0; i < heads * nv; i++)
		a[i] = v_load(acc + i / nv * stride + i % nv * LANES);
	for (int j = 0; j < n; j++, v += stride) {
		vec vj[VECS];
		UNROLL
		for (int i = 0; i < nv; i++)
			vj[i] = v_load_once(v + i * LANES);
		UNROLL
		for (int i = 0; i < heads * nv; i++)
			a[i] = v_fma(v_set1(p[i / nv * KV_POSITIONS + j]), vj[i % nv], a[i]);
	}
	UNROLL
	for (int i = 0; i < heads * nv; i++)
		v_store(acc + i / nv * stride + i % nv * LANES, a[i]);
}

struct softmax {
	float max;
	float sum[16];          /* partial sums over positions mod 16 */
};

/* Turns the block's scores into exp(score - max) and adds them to the sum;
 * positions from n on count nothing. acc is rescaled where the max grows. */
INLINE void softmax_block(struct softmax *m, float *s, int n, float *acc, int stride)
{
	for (int j = n; j < KV_POSITIONS; j++)
		s[j] = -INFINITY;
	vec most = v_load(s);
	for (int j = LANES; j < KV_POSITIONS; j += LANES)
		most = v_max(v_load(s + j), most);
	const float here = v_largest(most), max = here > m->max ? here : m->max;
	if (max > m->max) {
		const vec f = v_exp(v_set1(m->max - max));
		for (int i = 0; i < stride; i += LANES)
			v_store(acc + i, v_load(acc + i) * f);
		for (int l = 0; l < 16; l += LANES)
			v_store(m->sum + l, v_load(m->sum + l) * f);
		m->max = max;
	}
	for (int l = 0; l < 16; l += LANES) {
		const vec a = v_exp(v_load(s + l) - v_set1(max)), b = v_exp(v_load(s + 16 + l) - v_set1(max));
		v_store(s + l, a);
		v_store(s + 16 + l, b);
		v_store(m->sum + l, v_load(m->sum + l) + (a + b));
	}
}

static float softmax_sum(const struct softmax *m)
{
	float s[8];
	for (int l = 0; l < 8; l++)
		s[l] = m->sum[l] + m->sum[l + 8];
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/* The heads from first on. */
INLINE void attend_heads(const int heads, const struct attend *a, int first)
{
	_Alignas(64) float qs[ATTEND_ROWS * HEADS_AT_ONCE * MAX_HEAD_SIZE];
	_Alignas(64) float accs[ATTEND_ROWS * HEADS_AT_ONCE * MAX_HEAD_SIZE];
	_Alignas(64) float s[HEADS_AT_ONCE * KV_POSITIONS];
	struct softmax ms[ATTEND_ROWS * HEADS_AT_ONCE];
	const int d = a->head_size, stride = a->v_stride;
	int most = 0;
	for (int r = 0; r < a->rows; r++) {
		for (int i = 0; i < heads * d; i++)
			qs[r * heads * d + i] = a->row[r].q[first * d + i] * a->scale;
		for (int h = 0; h < heads; h++)
			ms[r * heads + h] = (struct softmax){ .max = -INFINITY };
		most = a->row[r].n > most ? a->row[r].n : most;
	}
	memset(accs, 0, sizeof(float) * (size_t)(a->rows * heads * stride));
	for (int p = 0; p < most; p += KV_POSITIONS)
		for (int r = 0; r < a->rows; r++) {
			const struct attend_row *row = &a->row[r];
			const int n = row->n - p < KV_POSITIONS ? row->n - p : KV_POSITIONS;
			if (n <= 0)
				continue;
			const float *block = row->blocks[p / KV_POSITIONS], *v = block + a->v_at;
			float *acc = accs + r * heads * stride;
			scores(heads, s, qs + r * heads * d, block + a->k_at, d);
			for (int h = 0; h < heads; h++)
				softmax_block(&ms[r * heads + h], s + h * KV_POSITIONS, n, acc + h * stride, stride);
			int i = 0;
			for (; i + VECS * LANES <= stride; i += VECS * LANES)
				values(heads, VECS, acc + i, s, v + i, stride, n);
			for (; i < stride; i += LANES)
				values(heads, 1, acc + i, s, v + i, stride, n);
		}
	for (int r = 0; r < a->rows; r++)
		for (int h = 0; h < heads; h++) {
			const float sum = softmax_sum(&ms[r * heads + h]), *acc = accs + (r * heads + h) * stride;
			for (int i = 0; i < d; i++)
				a->row[r].out[(first + h) * d + i] = acc[i] / sum;
		}
}

static void attend(const struct attend *a)
{
	for (int first = 0; first < a->heads; first += HEADS_AT_ONCE)
		switch (a->heads - first) {
		case 1:
			attend_heads(1, a, first);
			break;
		case 2:
			attend_heads(2, a, first);
			break;
		case 3:
			attend_heads(3, a, first);
			break;
		default:
			attend_heads(4, a, first);
		}
}
