//! Which packets are lost.

use super::channel::{Layers, is_certain, nothing_arrives};
use super::traces::Traces;
use crate::document::{Document, DocumentPath, InputError};
use crate::model::{FourState, Loss};
use crate::spec::{self, GilbertElliott, LossModel, LossSpec};
use crate::units::Probability;

pub(super) fn loss(traces: &Traces<'_>, layers: &Layers) -> Result<Loss, InputError> {
    let Some((spec, path)) = layers.find("loss", |settings| settings.loss.clone()) else {
        return Ok(Loss::None);
    };
    let document = traces.document();
    match spec {
        LossSpec::Independent(chance) if chance.is_zero() => Ok(Loss::None),
        LossSpec::Independent(chance) if is_certain(chance) => Err(nothing_arrives(
            document, &path, "loss",
        )
        .with_help("write less, such as `1%`; `state: down` is a link that carries nothing")),
        LossSpec::Independent(chance) => Ok(Loss::Independent(chance)),
        LossSpec::Model(model) => by_model(traces, &path, model),
    }
}

fn by_model(
    traces: &Traces<'_>,
    path: &DocumentPath,
    model: LossModel,
) -> Result<Loss, InputError> {
    let document = traces.document();
    match model {
        LossModel {
            gilbert_elliott: Some(model),
            four_state: None,
            packets: None,
            trace: None,
            pattern: None,
        } => gilbert_elliott(document, &path.key("gilbert_elliott"), model),
        LossModel {
            gilbert_elliott: None,
            four_state: Some(model),
            packets: None,
            trace: None,
            pattern: None,
        } => four_state(document, &path.key("four_state"), model),
        LossModel {
            gilbert_elliott: None,
            four_state: None,
            packets: Some(packets),
            trace: None,
            pattern: None,
        } => listed(document, &path.key("packets"), packets),
        LossModel {
            gilbert_elliott: None,
            four_state: None,
            packets: None,
            trace,
            pattern,
        } if trace.is_some() != pattern.is_some() => {
            let fates = traces.loss(path, trace.as_deref(), pattern.as_deref())?;
            if fates.iter().all(|&lost| lost) {
                let key = if trace.is_some() { "trace" } else { "pattern" };
                return Err(document
                    .error(&path.key(key), "the trace loses every packet")
                    .with_help("write a `0` for each packet that arrives"));
            }
            Ok(Loss::Trace(fates))
        }
        _ => Err(document
            .error(path, "the loss needs just one model")
            .with_help(
                "write one of `gilbert_elliott`, `four_state`, `packets`, `trace` and `pattern`",
            )),
    }
}

fn gilbert_elliott(
    document: &Document,
    path: &DocumentPath,
    spec: GilbertElliott,
) -> Result<Loss, InputError> {
    let GilbertElliott {
        to_bad,
        to_good,
        loss_in_bad,
        loss_in_good,
    } = spec;
    let refuse = |key: &str, message: &str, help: &str| {
        Err(document.error(&path.key(key), message).with_help(help))
    };
    if to_bad.is_zero() {
        return refuse(
            "to_bad",
            "the bad state is never entered",
            "write a chance above 0%, or a plain `loss`",
        );
    }
    if to_good.is_zero() {
        return refuse(
            "to_good",
            "the bad state is never left",
            "write a chance above 0%: 100% divided by the length of a burst",
        );
    }
    let loss_in_good = loss_in_good.unwrap_or(Probability::ZERO);
    if is_certain(loss_in_good) {
        return Err(nothing_arrives(
            document,
            &path.key("loss_in_good"),
            "loss in the good state",
        ));
    }
    let loss_in_bad = loss_in_bad.unwrap_or(Probability::ONE);
    if loss_in_bad.is_zero() && loss_in_good.is_zero() {
        return refuse(
            "loss_in_bad",
            "nothing is lost in either state",
            "write a `loss_in_bad` above 0%, or leave the model out",
        );
    }
    Ok(Loss::GilbertElliott {
        to_bad,
        to_good,
        loss_in_bad,
        loss_in_good,
    })
}

fn four_state(
    document: &Document,
    path: &DocumentPath,
    spec: spec::FourState,
) -> Result<Loss, InputError> {
    let p13 = spec.p13;
    let p14 = spec.p14.unwrap_or(Probability::ZERO);
    let p32 = spec.p32.unwrap_or(Probability::ZERO);
    // As tc fills it in (q_netem.c); with a stated p32 no more than what that leaves.
    let rest = (1.0 - p13.fraction()).min(1.0 - p32.fraction());
    let p31 = spec
        .p31
        .or_else(|| Probability::new(rest))
        .expect("a part of 1 is a probability");
    let p23 = spec.p23.unwrap_or(Probability::ONE);
    let over = |key: &str, first: (&str, Probability), second: (&str, Probability)| {
        let message = format!(
            "{} and {} leave the same state, and are more than 100% together",
            first.0, second.0
        );
        Err(document.error(&path.key(key), message))
    };
    if p13.fraction() + p14.fraction() > 1.0 {
        return over("p13", ("p13", p13), ("p14", p14));
    }
    if p31.fraction() + p32.fraction() > 1.0 {
        return over("p31", ("p31", p31), ("p32", p32));
    }
    let never_left = |key: &str, what: &str| {
        Err(document
            .error(&path.key(key), format!("{what} is never left"))
            .with_help("write a chance above 0%"))
    };
    if p13.is_zero() && p14.is_zero() {
        return Err(document
            .error(path, "nothing is ever lost")
            .with_help("write a `p13` or a `p14` above 0%, or leave the model out"));
    }
    if !p13.is_zero() && p31.is_zero() {
        return never_left("p31", "the burst");
    }
    if !p32.is_zero() && p23.is_zero() {
        return never_left("p23", "state 2, received within a burst,");
    }
    Ok(Loss::FourState(FourState {
        p13,
        p31,
        p32,
        p23,
        p14,
    }))
}

fn listed(
    document: &Document,
    path: &DocumentPath,
    mut packets: Vec<u64>,
) -> Result<Loss, InputError> {
    if let Some(at) = packets.iter().position(|&number| number == 0) {
        return Err(document.error(&path.index(at), "packets count from 1"));
    }
    packets.sort_unstable();
    packets.dedup();
    Ok(match packets.is_empty() {
        true => Loss::None,
        false => Loss::Packets(packets.into()),
    })
}
