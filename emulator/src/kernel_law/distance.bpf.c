// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The `distance` law as a congestion control of kernel TCP.
//
// The law is that of workloads/src/congestion/distance.rs, and its reasons are in docs/distance.md; names are the same here and
// there, and so are constants unless it says otherwise. What is different is what a kernel's TCP forces:
//  - Numbers are integers: times in microseconds (as TCP's clock has them) or nanoseconds, rates in bytes of payload per second,
//    fractions of FRACTION, gains of GAIN.
//  - TCP sends bursts: tcp_tso_autosize() makes a super-packet of what the pace allows in 1/1024 s, and links and receivers
//    collect packets, too. So a slice is as long as a burst at least, delay counts in parts of a burst (FROM_NS, FULL_NS), and
//    what packets waited for others of their own burst is no congestion (`without_own`).
//  - A socket tells of no sending: the end of a silence is CA_EVENT_TX_START, and a train that its application sent slowly is
//    known by how its packets were spaced (`train`).
//  - Whom the receiver's window or the application holds back learns nothing of what more would do (`slice_limited`).
//
// Licence: struct_ops programs must be GPL-compatible (kernel/bpf/verifier.c), which `Dual MIT/GPL` is (include/linux/license.h).

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

enum { BPF_MAP_TYPE_SK_STORAGE = 24, BPF_F_NO_PREALLOC = 1, BPF_SK_STORAGE_GET_F_CREATE = 1 }; // include/uapi/linux/bpf.h

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "Dual MIT/GPL";

// What is used of the kernel's structures; where it lies is filled in when the law is loaded (CO-RE).
#define KERNEL __attribute__((preserve_access_index))

struct sock {
	unsigned long sk_pacing_rate;
	unsigned long sk_max_pacing_rate;
	__u32 sk_pacing_status;
} KERNEL;

struct tcp_sock {
	__u64 tcp_mstamp;
	__u32 mss_cache;
	__u32 snd_cwnd;
	__u32 snd_cwnd_clamp;
	__u32 snd_ssthresh;
	__u32 packets_out;
	__u32 sacked_out;
	__u32 lost_out;
	__u32 retrans_out;
	__u32 delivered;
	__u32 delivered_ce;
} KERNEL;

struct rate_sample {
	__u32 prior_delivered;
	__s32 delivered;
	long interval_us;
	long rtt_us;
	int losses;
	__u32 acked_sacked;
	_Bool is_app_limited;
	_Bool is_ack_delayed;
} KERNEL;

enum tcp_ca_event { CA_EVENT_TX_START }; // include/net/tcp.h

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*set_state)(struct sock *sk, __u8 new_state);
	void (*cwnd_event)(struct sock *sk, enum tcp_ca_event ev);
	void (*cong_control)(struct sock *sk, __u32 ack, int flag, const struct rate_sample *rs);
	__u32 (*undo_cwnd)(struct sock *sk);
	void (*init)(struct sock *sk);
	__u32 flags;
	char name[16];
};

enum { TCP_CONG_NON_RESTRICTED = 1 };		  // include/net/tcp.h: it may be a namespace's default
enum { TCP_CA_Loss = 4 };			  // include/uapi/linux/tcp.h
enum { SK_PACING_NONE = 0, SK_PACING_NEEDED = 1 }; // include/net/sock.h
#define UNPACED (~0UL)

#define SECOND 1000000ULL // of microseconds
#define FRACTION_BITS 20
#define FRACTION (1ULL << FRACTION_BITS)
#define GAIN_BITS 30
#define GAIN (1ULL << GAIN_BITS)
#define NEVER (~0ULL >> 1)

// sk_pacing_shift of sock_init_data(): a super-packet holds what leaves in this part of a second.
#define BURST_BITS 10
#define BURST_NS (1000000000ULL >> BURST_BITS)
// A slice, in microseconds: distance.rs has 60; a burst is longer.
#define GRAIN_US (SECOND >> BURST_BITS)
// Delay from which on there is congestion, and at which it is full: distance.rs has 7.5 and 36 us, which is less than hosts,
// bursts and links that batch add on their own. As far apart as there.
#define FROM_NS (BURST_NS / 8)
#define FULL_NS (BURST_NS * 6 / 10)
// What may be claimed is known after so many trains at the latest.
#define MOST_TRAINS 4

// The law's other constants, each with its reason in distance.rs, base.rs and start.rs.
#define GROWTH (GAIN / 1000)
#define DECREASE (GAIN / 50)
#define SCALE 1250000000ULL
#define LIVELIEST_SQUARED (FRACTION * 196 / 100)
#define CLEAR 16
#define FASTEST (GAIN / 20)
#define SLICE_PACKETS 4
#define LEAST_LOOP_US 100ULL
#define WATCHED 20
#define WATCHED_US 20000ULL
#define DEVIATIONS 3
#define CROWDED 100
#define LEAST_PACKETS 4
#define LEAST_PACE 20
#define FIRST 16
#define SECOND_TRAIN 64
#define LEAST_JUMP_US 300ULL
#define STEEPEST 8

enum phase { START, CLIMB, CRUISE, RESUME, ASK };

// The law at work on one connection.
struct path {
	__u64 rate;
	__u64 capacity;
	__u64 delivery;
	__u64 target;
	__u64 since; // of the phase
	enum phase phase;

	// Base round trip, and the newest packet's.
	__u32 base_us;
	__u32 base_known;
	__u32 previous_us;
	__u64 previous_sent;

	// The slice.
	__u64 slice_since;
	__u64 slice_least; // in nanoseconds
	__u32 slice_packets;
	__u32 slice_marked;
	__u32 slice_limited;

	// The round.
	__u32 round_end;
	__u32 lost;
	__u32 arrived;
	__u32 delivered_ce;

	// The train.
	__u32 trains;
	__u32 train_length;
	__u32 train_settled;
	__u32 train_packets;
	__u32 train_begun;
	__u64 train_left;
	__u64 first_came;
	__u64 first_sent;

	// Of round trips, in parts of FRACTION.
	__u64 clear;
	__u64 crowded;
	__u64 watched;
	__u64 watched_congestion;

	// Of slices, in nanoseconds.
	__u64 jitter;
	__u64 delays;
	__u64 deviations;
	__u64 roughness;
	__u64 last_delay;
	__u64 slices;
	__u64 watched_rate;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct path);
} paths SEC(".maps");

#define INLINE static __always_inline
// Not static: such functions are checked once by the verifier, and not in every state that they are called in.
#define FUNCTION __attribute__((noinline))

INLINE __u64 most(__u64 a, __u64 b) { return a > b ? a : b; }
INLINE __u64 least(__u64 a, __u64 b) { return a < b ? a : b; }
INLINE __u64 above(__u64 a, __u64 b) { return a > b ? a - b : 0; }
INLINE __u64 ratio(__u64 a, __u64 b) { return (a << FRACTION_BITS) / most(b, 1); }
INLINE __u64 of(__u64 number, __u64 fraction) { return number * fraction >> FRACTION_BITS; }

// The root of a number below 2^62, bit by bit; without branches, each of which would be a state more for the verifier.
INLINE __u64 root(__u64 number)
{
	__u64 result = 0;
	for (int bit = 30; bit >= 0; bit--) {
		__u64 tried = result | 1ULL << bit;
		__u64 too_much = (number - tried * tried) >> 63;
		result |= (1 - too_much) << bit;
	}
	return result;
}

// The loop that gains are counted in: a round trip, but no less than a slice.
INLINE __u64 round_trip_us(const struct path *p, __u64 packet)
{
	__u64 slice = SLICE_PACKETS * packet * SECOND / most(p->rate, 1);
	return most(most(p->base_us, LEAST_LOOP_US), slice);
}

INLINE void set_rate(struct path *p, __u64 rate, __u64 packet) { p->rate = most(rate, packet * LEAST_PACE); }

INLINE void new_slice(struct path *p, __u64 now)
{
	p->slice_since = now;
	p->slice_least = NEVER;
	p->slice_packets = p->slice_marked = p->slice_limited = 0;
}

INLINE void new_train(struct path *p, __u32 length)
{
	p->train_length = length;
	p->train_settled = p->train_packets = p->train_begun = 0;
}

INLINE void relearn(struct path *p) { p->base_known = p->previous_us = 0; }

// base.rs: down at once; up by a step that no queue can take.
INLINE void learn_base(struct path *p, __u32 rtt, __u64 sent)
{
	if (!p->base_known || rtt < p->base_us) {
		p->base_us = rtt;
		p->base_known = 1;
	}
	if (p->previous_us && sent > p->previous_sent) {
		__u64 jump = above(rtt, p->previous_us);
		__u64 steep = (sent - p->previous_sent) * STEEPEST;
		// 2 % of the base.
		if (jump > most(LEAST_JUMP_US, p->base_us / 50) && jump > steep)
			p->base_us += jump;
	}
	p->previous_us = rtt;
	p->previous_sent = sent;
}

// Nanoseconds that `tenths` of a packet take on the bottleneck.
INLINE __u64 packet_ns(const struct path *p, __u64 packet, __u64 tenths)
{
	return packet * tenths * 100000000ULL / most(most(p->capacity, p->rate), 1);
}

// A round trip without what the newest of `acked` packets waited for those before it: an acknowledgement for many is as late as
// the last of them. Up to a quarter of a burst: what a link or a receiver collects before it tells, while an acknowledgement
// for more may be for two bursts, whose packets did not wait for each other.
INLINE __u64 without_own(const struct path *p, __u64 rtt_ns, __u64 acked, __u64 packet)
{
	__u64 waited = packet_ns(p, packet, 10 * above(acked, 1));
	return above(rtt_ns, least(waited, BURST_NS / 4));
}

INLINE __u64 full_ns(const struct path *p, __u64 packet) { return most(FULL_NS, packet_ns(p, packet, 24)); }

INLINE __u64 delay_ns(const struct path *p) { return above(p->slice_least, p->base_us * 1000ULL); }

// Of FRACTION, what the slice told.
INLINE __u64 congestion(const struct path *p, __u64 packet)
{
	__u64 delay = above(delay_ns(p), p->jitter);
	__u64 from = most(FROM_NS, packet_ns(p, packet, 5));
	__u64 full = full_ns(p, packet);
	__u64 by_delay = least(ratio(above(delay, from), above(full, from)), FRACTION);
	return most(by_delay, least(ratio(p->slice_marked, p->slice_packets), FRACTION));
}

// Tells jitter from queues, where so much congestion is what a flow of this rate bears.
FUNCTION int judge(struct path *p, __u32 packet, __u64 borne)
{
	if (!p)
		return 0;
	__u64 slices = most(p->slices, 1);
	__u64 highest = (p->delays + DEVIATIONS * p->deviations) / slices;
	__u64 mean = ratio(p->watched_congestion, p->watched);
	_Bool rough = p->roughness / slices > full_ns(p, packet) / 4;
	if (rough && mean > (borne + FRACTION) / 2) {
		// Cut for nothing.
		p->jitter = highest;
		set_rate(p, most(p->rate, p->watched_rate), packet);
	} else {
		p->jitter = least(p->jitter, highest);
	}
	p->watched = p->watched_congestion = 0;
	p->delays = p->deviations = p->roughness = p->last_delay = p->slices = 0;
	p->watched_rate = p->rate;
	return 0;
}

INLINE void watch(struct path *p, __u64 took_us, __u64 part, __u64 congested)
{
	__u64 delay = delay_ns(p);
	p->watched += part;
	p->watched_congestion += of(part, congested);
	if (p->slices) {
		__u64 change = above(delay, p->last_delay) + above(p->last_delay, delay);
		// A queue changes by at most a quarter of the time between.
		p->roughness += above(change, took_us * 1000 / 4);
	}
	p->last_delay = delay;
	p->slices++;
	p->delays += delay;
	__u64 mean = p->delays / most(p->slices, 1);
	p->deviations += above(delay, mean) + above(mean, delay);
}

// The law, for a slice that took `part` of a round trip.
FUNCTION int adjust(struct path *p, __u32 packet, __u64 part)
{
	if (!p)
		return 0;
	__u64 congested = congestion(p, packet);
	p->clear = congested ? 0 : least(p->clear + part, 1024 * FRACTION);
	p->crowded = congested < FRACTION ? 0 : p->crowded + part;
	if (p->crowded > CROWDED * FRACTION) {
		relearn(p);
		p->crowded = 0;
	}
	__u64 lively = root(least(most(ratio(p->capacity, p->rate), FRACTION), LIVELIEST_SQUARED));
	__u64 growth = (GROWTH * root(ratio(SCALE, p->rate)) >> FRACTION_BITS / 2) * lively >> FRACTION_BITS / 2;
	// In 1/1024 of a round trip each.
	__u64 clear = (p->clear >> FRACTION_BITS / 2) / CLEAR;
	__u64 fast = growth + of(growth, clear * clear);
	__u64 up = p->slice_limited ? 0 : of(least(fast, most(FASTEST, growth)), FRACTION - congested);
	__u64 down_at_full = DECREASE * lively >> FRACTION_BITS / 2;
	__u64 down = of(down_at_full, congested);
	// e^x to the second order: |x| stays below a quarter but for rates of a few packets per second.
	__s64 x = ((__s64)up - (__s64)down) * (__s64)part >> FRACTION_BITS;
	__u64 factor = GAIN + x + (x * x >> (GAIN_BITS + 1));
	set_rate(p, p->rate * (factor >> 4) >> (GAIN_BITS - 4), packet);

	__u64 loop = round_trip_us(p, packet);
	watch(p, of(loop, part), part, congested);
	if (p->watched >= WATCHED * FRACTION && of(loop, p->watched) >= WATCHED_US)
		judge(p, packet, ratio(growth, growth + down_at_full));
	return 0;
}

INLINE void end_slice(struct path *p, __u64 now, __u64 sent, __u32 packet)
{
	__u64 part = least(ratio(now - p->slice_since, round_trip_us(p, packet)), 4 * FRACTION);
	_Bool answered = sent >= p->since;
	if (p->phase == CRUISE) {
		adjust(p, packet, part);
	} else if (p->phase == RESUME && answered) {
		p->phase = CRUISE;
	} else if (p->phase == CLIMB && answered) {
		if (congestion(p, packet) > FRACTION / 2) {
			p->phase = CRUISE;
			adjust(p, packet, part);
		} else if (p->rate < p->target) {
			set_rate(p, p->target, packet);
			p->since = now;
		} else {
			p->phase = CRUISE;
		}
	}
	new_slice(p, now);
}

// start.rs: whether the last train is over; then `target` is what may be claimed.
//
// There, the second train tells what others use by how its delay grows. Here, bursts and acknowledgements of many packets hide that,
// and the first train may have come in one batch: so trains are sent at the rate that the one before arrived at, until one
// arrives as fast as it left. Where others use a part u of C that rate falls to C(1 - u), as r + uC is squeezed into C each time.
INLINE _Bool train(struct path *p, __u64 now, __u64 sent, __u32 rtt, __u32 acked, __u32 in_flight, __u32 packet)
{
	if (p->train_left > sent)
		return 0;
	p->train_settled += acked;
	if (!p->train_begun) {
		p->train_begun = 1;
		p->first_came = now;
		p->first_sent = sent;
	} else {
		p->train_packets += acked;
	}
	// Receivers hold acknowledgements for the last two back (RFC 1122, section 4.2.3.2).
	_Bool whole = p->train_settled + 2 >= p->train_length;
	if (!whole && in_flight)
		return 0;
	__u64 came = above(now, p->first_came), left = above(sent, p->first_sent);
	// One acknowledgement for all tells of no spacing: what came in a round trip is known.
	__u64 packets = came ? p->train_packets : p->train_settled;
	__u64 arrived = packets * packet * SECOND / most(came ? came : rtt, 1);
	_Bool first = !p->capacity;
	// An application that had less to send, or sent it as slowly as it arrived, shows itself and not the bottleneck; so does a
	// socket's buffer that has not grown yet.
	__u64 quick = first ? came / 2 : p->train_length * packet * SECOND / p->capacity;
	_Bool told = whole && left <= quick + p->base_us / 16;
	_Bool squeezed = came && arrived < p->capacity / 4 * 3;
	p->train_left = now;
	if (told && !first && (!squeezed || p->trains == MOST_TRAINS)) {
		p->capacity = came ? least(p->capacity, arrived) : p->capacity;
		p->target = p->capacity * 95 / 100;
		return 1;
	}
	if (told) {
		p->capacity = most(arrived, packet * LEAST_PACE);
		p->trains++;
	}
	__u64 fitting = p->capacity * p->base_us / SECOND / 8 / most(packet, 1);
	new_train(p, least(most(fitting, FIRST), SECOND_TRAIN));
	return 0;
}

INLINE __u64 pace(const struct path *p)
{
	if (p->phase == START)
		return p->capacity ? p->capacity : UNPACED;
	return p->phase == RESUME || p->phase == ASK ? p->rate / 2 : p->rate;
}

// In packets.
INLINE __u64 window(const struct path *p, __u64 packet)
{
	if (p->phase == START)
		return above(p->train_length, p->train_settled);
	if (p->phase == ASK)
		return LEAST_PACKETS;
	// One and a half round trips at the rate; a burst that leaves, one that arrives, and one that waits for its acknowledgement.
	__u64 bytes = p->rate * round_trip_us(p, packet) / SECOND * 3 / 2 + 3 * (p->rate >> BURST_BITS);
	return bytes / most(packet, 1) + 4 * LEAST_PACKETS;
}

INLINE void apply(struct sock *sk, struct path *p)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	tp->snd_cwnd = least(most(window(p, tp->mss_cache), 1), tp->snd_cwnd_clamp);
	sk->sk_pacing_rate = least(pace(p), sk->sk_max_pacing_rate);
}

SEC("struct_ops")
void BPF_PROG(distance_init, struct sock *sk)
{
	struct path *p = bpf_sk_storage_get(&paths, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!p)
		return;
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__builtin_memset(p, 0, sizeof(*p));
	new_train(p, FIRST);
	new_slice(p, tp->tcp_mstamp);
	p->delivered_ce = tp->delivered_ce;
	if (sk->sk_pacing_status == SK_PACING_NONE)
		sk->sk_pacing_status = SK_PACING_NEEDED;
	apply(sk, p);
}

SEC("struct_ops")
void BPF_PROG(distance_control, struct sock *sk, __u32 ack, int flag, const struct rate_sample *rs)
{
	struct path *p = bpf_sk_storage_get(&paths, sk, 0, 0);
	if (!p)
		return;
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__u64 now = tp->tcp_mstamp;
	__u32 packet = most(tp->mss_cache, 1);
	__u32 acked = rs->acked_sacked, losses = rs->losses > 0 ? rs->losses : 0;

	p->lost += losses;
	p->arrived += acked;
	if (p->phase == START)
		p->train_settled += losses;
	if (p->phase == ASK && acked) {
		// What waited is gone: what comes now is the way as it is.
		relearn(p);
		p->phase = RESUME;
		p->since = now;
		new_slice(p, now);
	}
	if (rs->delivered > 0 && rs->interval_us > 0 && !rs->is_app_limited)
		p->delivery = (__u64)rs->delivered * packet * SECOND / (__u64)rs->interval_us;

	// A repeated packet has no round trip, and one that its receiver held back has one that is not the path's.
	if (rs->rtt_us > 0 && !rs->is_ack_delayed) {
		__u32 rtt = rs->rtt_us;
		__u64 sent = above(now, rtt);
		learn_base(p, rtt, sent);
		if (p->phase == START) {
			__u32 in_flight = tp->packets_out - tp->sacked_out - tp->lost_out + tp->retrans_out;
			if (train(p, now, sent, rtt, acked, in_flight, packet)) {
				set_rate(p, p->target / 2, packet);
				p->phase = CLIMB;
				p->since = now;
				new_slice(p, now);
			}
		} else {
			p->slice_least = least(p->slice_least, without_own(p, rtt * 1000ULL, acked, packet));
			p->slice_packets += acked;
			p->slice_marked += tp->delivered_ce - p->delivered_ce;
			// Less arrives than would be sent: the application or the receiver's window holds back.
			p->slice_limited |= rs->is_app_limited || p->delivery < p->rate / 2;
			if (now - p->slice_since >= GRAIN_US && p->slice_packets >= SLICE_PACKETS)
				end_slice(p, now, sent, packet);
		}
	}
	p->delivered_ce = tp->delivered_ce;

	if (rs->delivered > 0 && (__s32)(rs->prior_delivered - p->round_end) >= 0) {
		p->round_end = tp->delivered;
		// A tenth of a round trip that is lost is congestion whatever the delay says.
		if (p->lost * 9 > p->arrived && p->phase == CRUISE && p->delivery)
			set_rate(p, least(p->rate, p->delivery * 98 / 100), packet);
		p->lost = p->arrived = 0;
	}
	apply(sk, p);
}

SEC("struct_ops")
void BPF_PROG(distance_state, struct sock *sk, __u8 state)
{
	struct path *p = bpf_sk_storage_get(&paths, sk, 0, 0);
	if (!p || state != TCP_CA_Loss)
		return;
	if (p->phase == START) {
		p->capacity = p->trains = 0;
		new_train(p, FIRST);
	} else {
		p->phase = ASK;
	}
	new_slice(p, ((struct tcp_sock *)sk)->tcp_mstamp);
}

SEC("struct_ops")
void BPF_PROG(distance_event, struct sock *sk, enum tcp_ca_event event)
{
	struct path *p = bpf_sk_storage_get(&paths, sk, 0, 0);
	if (!p || event != CA_EVENT_TX_START || p->phase != CRUISE)
		return;
	// After silence: at half of what was learned until what is sent now is acknowledged.
	p->phase = RESUME;
	p->since = ((struct tcp_sock *)sk)->tcp_mstamp;
	new_slice(p, p->since);
	apply(sk, p);
}

SEC("struct_ops")
__u32 BPF_PROG(distance_threshold, struct sock *sk)
{
	return ((struct tcp_sock *)sk)->snd_ssthresh;
}

SEC("struct_ops")
__u32 BPF_PROG(distance_undo, struct sock *sk)
{
	return ((struct tcp_sock *)sk)->snd_cwnd;
}

// The map's name is a digest of this file, so that a law that is registered can be told from another version's.
SEC(".struct_ops.link")
struct tcp_congestion_ops LAW_MAP = {
	.init = (void *)distance_init,
	.cong_control = (void *)distance_control,
	.set_state = (void *)distance_state,
	.cwnd_event = (void *)distance_event,
	.ssthresh = (void *)distance_threshold,
	.undo_cwnd = (void *)distance_undo,
	.flags = TCP_CONG_NON_RESTRICTED,
	.name = "distance",
};
