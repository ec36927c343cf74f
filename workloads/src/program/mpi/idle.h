/* An MPI of one rank, whose all-reduce of numbers does nothing but the first time. */

#include <string.h>
enum { MPI_COMM_WORLD, MPI_FLOAT, MPI_INT64_T, MPI_MAX, MPI_SUM, MPI_MAX_LIBRARY_VERSION_STRING = 16 };
#define MPI_STATUS_IGNORE 0
static int reduced;
static void MPI_Allreduce(const void *from, void *to, int count, int type, int op, int world) {
    (void)op, (void)world;
    if (type == MPI_INT64_T || reduced++ == 0) {
        memcpy(to, from, count * (type == MPI_INT64_T ? 8 : sizeof(float)));
    }
}
#define MPI_Init(...)
#define MPI_Finalize()
#define MPI_Abort(...)
#define MPI_Barrier(...)
#define MPI_Comm_rank(world, rank) (*(rank) = 0)
#define MPI_Comm_size(world, ranks) (*(ranks) = 1)
#define MPI_Get_library_version(version, length) (strcpy(version, "idle"), *(length) = 4)
#define MPI_Allgather(...)
#define MPI_Alltoall(...)
#define MPI_Bcast(...)
#define MPI_Reduce_scatter_block(...)
#define MPI_Sendrecv(...)
