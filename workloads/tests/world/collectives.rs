//! Every collective gives every rank what it should.

use std::net::{IpAddr, Ipv6Addr};

use libtest_mimic::Failed;
use longhaul_reports::result::Placement;
use longhaul_workloads::collective::{Collective, DataType, ReduceOp};
use longhaul_workloads::message::{PathChoice, Paths};
use longhaul_workloads::world::{MessageOptions, Operation, TransportOptions};

use super::support::{
    LOOPBACK, WINDOW, all_reduce, block_on, expect_right, options, queue_pairs, start,
};

pub fn every_collective_and_algorithm_is_right() -> Result<(), Failed> {
    for (ranks, connections) in [(1, 1), (2, 4), (3, 1), (5, 4)] {
        let sites: Vec<usize> = (0..ranks).map(|rank| rank * 2 / ranks).collect();
        let placements = [Placement::OutOfPlace, Placement::InPlace];
        let sizes = [40, 1_000, 300_004];
        every_collective(&sites, LOOPBACK, options(connections), &placements, &sizes)?;
    }
    Ok(())
}

pub fn queue_pairs_do_every_collective() -> Result<(), Failed> {
    let choices = [
        (PathChoice::Hash, 1, Some(WINDOW / 4), LOOPBACK),
        (PathChoice::Spray, 3, None, LOOPBACK),
        (
            PathChoice::Adaptive,
            2,
            None,
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ),
    ];
    for (choice, count, credits, address) in choices {
        let mut transport = queue_pairs(Paths { choice, count });
        transport.message = transport
            .message
            .map(|message| MessageOptions { credits, ..message });
        let placements = [Placement::OutOfPlace];
        every_collective(
            &[0, 0, 1, 1],
            address,
            transport,
            &placements,
            &[40, 300_004],
        )?;
    }
    Ok(())
}

/// Expects every collective and algorithm to be right between ranks at these sites, the last of them the root.
fn every_collective(
    sites: &[usize],
    address: IpAddr,
    transport: TransportOptions,
    placements: &[Placement],
    sizes: &[u64],
) -> Result<(), Failed> {
    block_on(async {
        let mut world = start(sites, address, transport).await?;
        for collective in Collective::ALL {
            for &algorithm in collective.algorithms() {
                for &placement in placements {
                    for &size_bytes in sizes {
                        let operation = Operation {
                            collective,
                            algorithm,
                            placement,
                            root: sites.len() - 1,
                            ..all_reduce(size_bytes)
                        };
                        expect_right(&mut world, &operation).await?;
                    }
                }
            }
        }
        world.stop().await;
        Ok(())
    })
}

pub fn every_type_and_operator_is_right() -> Result<(), Failed> {
    block_on(async {
        let mut world = start(&[0; 3], LOOPBACK, options(1)).await?;
        for data_type in DataType::ALL {
            for op in ReduceOp::ALL {
                for collective in [Collective::AllReduce, Collective::ReduceScatter] {
                    let operation = Operation {
                        collective,
                        data_type,
                        op,
                        ..all_reduce(50_000)
                    };
                    expect_right(&mut world, &operation).await?;
                }
            }
        }
        world.stop().await;
        Ok(())
    })
}

pub fn several_connections_carry_one_message() -> Result<(), Failed> {
    block_on(async {
        let mut world = start(&[0, 1], LOOPBACK, options(16)).await?;
        for size_bytes in [4, 12, 64, 1_000_000] {
            expect_right(&mut world, &all_reduce(size_bytes)).await?;
        }
        world.stop().await;
        Ok(())
    })
}

pub fn ipv6_works_alike() -> Result<(), Failed> {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 loopback");
        return Ok(());
    }
    block_on(async {
        let mut world = start(&[0, 1], "::1".parse()?, options(2)).await?;
        expect_right(&mut world, &all_reduce(100_000)).await?;
        world.stop().await;
        Ok(())
    })
}
