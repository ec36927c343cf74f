/* Collectives by MPI, for longhaul's `mpi` workloads: collective DIR NAME WARMUP ITERATIONS COUNT...
 *
 * Each rank writes DIR/rank-N.out, a JSON object a line (workloads/src/program/lines.rs). Times are CLOCK_MONOTONIC's, which all ranks
 * share: the lab's hosts are on one machine. */

#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Distinct, and small enough for their sums to be exact. */
enum { PERIOD = 7 };
/* What a rank may need to wake up, on a machine that does much else. */
#define SLACK_NS INT64_C(5000000)
#define SECOND_NS INT64_C(1000000000)

static int rank, ranks;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

/* Waits until an instant that is the same on all ranks, and answers it. */
static int64_t common_start(void) {
    int64_t began = now(), mine, instant;
    MPI_Barrier(MPI_COMM_WORLD);
    /* The same way again takes as long, at most: so all know of the instant before it comes. */
    mine = now() + 2 * (now() - began) + SLACK_NS;
    MPI_Allreduce(&mine, &instant, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD);
    struct timespec until = {instant / SECOND_NS, instant % SECOND_NS};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
    return instant;
}

static float expected(int64_t index, float addend) { return (float)(index % PERIOD) + addend; }

static void fill(float *to, int64_t count, float addend) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = expected(i, addend);
    }
}

static int64_t wrong_in(const float *got, int64_t count, float factor, float addend) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < count; i++) {
        wrong += got[i] != factor * expected(i, 0) + addend;
    }
    return wrong;
}

/* Of `count` numbers, the whole array as nccl-tests counts it; `part` of them are each rank's. */
struct collective {
    const char *name;
    void (*fill)(float *input, int64_t count, int64_t part);
    void (*run)(float *input, float *output, int count, int part);
    int64_t (*wrong)(const float *input, const float *output, int64_t count, int64_t part);
    bool in_place;
};

static void fill_whole(float *input, int64_t count, int64_t part) {
    (void)part;
    fill(input, count, (float)rank);
}

static void fill_part(float *input, int64_t count, int64_t part) {
    (void)count;
    fill(input, part, (float)rank);
}

static void fill_parts(float *input, int64_t count, int64_t part) {
    (void)count;
    for (int to = 0; to < ranks; to++) {
        fill(input + to * part, part, (float)(rank + to));
    }
}

static float sum_of_ranks(void) { return (float)ranks * (float)(ranks - 1) / 2; }

static void all_reduce(float *input, float *output, int count, int part) {
    (void)part;
    MPI_Allreduce(input, output, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static int64_t all_reduce_wrong(const float *input, const float *output, int64_t count, int64_t part) {
    (void)input, (void)part;
    return wrong_in(output, count, (float)ranks, sum_of_ranks());
}

static void all_gather(float *input, float *output, int count, int part) {
    (void)count;
    MPI_Allgather(input, part, MPI_FLOAT, output, part, MPI_FLOAT, MPI_COMM_WORLD);
}

static int64_t all_gather_wrong(const float *input, const float *output, int64_t count, int64_t part) {
    int64_t wrong = 0;
    (void)input, (void)count;
    for (int from = 0; from < ranks; from++) {
        wrong += wrong_in(output + from * part, part, 1, (float)from);
    }
    return wrong;
}

static void reduce_scatter(float *input, float *output, int count, int part) {
    (void)count;
    MPI_Reduce_scatter_block(input, output, part, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static int64_t reduce_scatter_wrong(const float *input, const float *output, int64_t count, int64_t part) {
    (void)input, (void)count;
    /* Every rank gave this one its number and theirs. */
    return wrong_in(output, part, (float)ranks, sum_of_ranks() + (float)ranks * (float)rank);
}

static void broadcast(float *input, float *output, int count, int part) {
    (void)output, (void)part;
    MPI_Bcast(input, count, MPI_FLOAT, 0, MPI_COMM_WORLD);
}

static int64_t broadcast_wrong(const float *input, const float *output, int64_t count, int64_t part) {
    (void)output, (void)part;
    return wrong_in(input, count, 1, 0);
}

static void all_to_all(float *input, float *output, int count, int part) {
    (void)count;
    MPI_Alltoall(input, part, MPI_FLOAT, output, part, MPI_FLOAT, MPI_COMM_WORLD);
}

static int64_t all_to_all_wrong(const float *input, const float *output, int64_t count, int64_t part) {
    int64_t wrong = 0;
    (void)input, (void)count;
    for (int from = 0; from < ranks; from++) {
        wrong += wrong_in(output + from * part, part, 1, (float)(from + rank));
    }
    return wrong;
}

static void send_recv(float *input, float *output, int count, int part) {
    (void)part;
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    MPI_Sendrecv(input, count, MPI_FLOAT, next, 0, output, count, MPI_FLOAT, before, 0, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
}

static int64_t send_recv_wrong(const float *input, const float *output, int64_t count, int64_t part) {
    (void)input, (void)part;
    return wrong_in(output, count, 1, (float)((rank + ranks - 1) % ranks));
}

static const struct collective COLLECTIVES[] = {
    {"all_reduce", fill_whole, all_reduce, all_reduce_wrong, false},
    {"all_gather", fill_part, all_gather, all_gather_wrong, false},
    {"reduce_scatter", fill_parts, reduce_scatter, reduce_scatter_wrong, false},
    {"broadcast", fill_whole, broadcast, broadcast_wrong, true},
    {"all_to_all", fill_parts, all_to_all, all_to_all_wrong, false},
    {"send_recv", fill_whole, send_recv, send_recv_wrong, false},
};

static void fail(const char *what, const char *which) {
    fprintf(stderr, "%s %s\n", what, which);
    MPI_Abort(MPI_COMM_WORLD, 2);
}

/* The first line: it goes on with compilers and dates. */
static void tell_version(FILE *out) {
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Get_library_version(version, &length);
    for (char *at = version; *at; at++) {
        if (*at == '\n' || *at == ',') {
            *at = 0;
            break;
        }
        if (*at == '"' || *at == '\\' || *at == '\t') {
            *at = ' ';
        }
    }
    fprintf(out, "{\"kind\": \"version\", \"name\": \"MPI\", \"version\": \"%s\"}\n", version);
}

static void run(FILE *out, const struct collective *one, int count, int warmup, int iterations) {
    int part = count / ranks;
    float *input = malloc((size_t)count * sizeof *input), *output = malloc((size_t)count * sizeof *output);
    if (input == NULL || output == NULL) {
        fail("no memory for", one->name);
        return;
    }
    for (int number = 0; number < warmup + iterations; number++) {
        one->fill(input, count, part);
        /* NaN: what the iteration before left there would be right for this one, too. */
        memset(output, 0xFF, (size_t)count * sizeof *output);
        int64_t start = common_start();
        one->run(input, output, count, part);
        int64_t end = now();
        fprintf(out,
                "{\"kind\": \"iteration\", \"size\": %" PRIu64 ", \"count\": %d, \"placement\": \"%s\", "
                "\"iteration\": %d, \"warmup\": %s, \"start_ns\": %" PRId64 ", \"end_ns\": %" PRId64
                ", \"wrong\": %" PRId64 "}\n",
                (uint64_t)count * sizeof *input, count, one->in_place ? "in-place" : "out-of-place",
                number < warmup ? number : number - warmup, number < warmup ? "true" : "false", start,
                end < start ? start : end, one->wrong(input, output, count, part));
        fflush(out);
    }
    free(input);
    free(output);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc < 6) {
        fail("usage:", "collective DIR NAME WARMUP ITERATIONS COUNT...");
        return 2;
    }
    const struct collective *one = NULL;
    for (size_t i = 0; i < sizeof COLLECTIVES / sizeof *COLLECTIVES; i++) {
        if (strcmp(COLLECTIVES[i].name, argv[2]) == 0) {
            one = &COLLECTIVES[i];
        }
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/rank-%d.out", argv[1], rank);
    FILE *out = fopen(path, "w");
    if (one == NULL || out == NULL) {
        fail("cannot use", one == NULL ? argv[2] : path);
        return 2;
    }
    if (rank == 0) {
        tell_version(out);
    }
    for (int i = 5; i < argc; i++) {
        run(out, one, atoi(argv[i]), atoi(argv[3]), atoi(argv[4]));
    }
    fclose(out);
    MPI_Finalize();
    return 0;
}
