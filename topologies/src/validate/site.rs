//! Sites: names, hosts, coordinates.

use super::{MOST_SITES, fault_of_name};
use crate::document::{Document, DocumentPath, InputError};
use crate::geography::Coordinates;
use crate::model::{Fabric, Site};
use crate::spec::{FabricSpec, SiteSpec, TopologySpec};

use super::channel::check_rate;

/// `model::Site::name`: with a host's number behind it still well below the kernel's 64 bytes for a host name.
const LONGEST_NAME: usize = 20;
/// The address plan's room: hosts are numbered within 10.s.0.0/20 of their site's /16.
const MOST_HOSTS: usize = 4094;

pub(super) fn sites(document: &Document, spec: &TopologySpec) -> Result<Vec<Site>, InputError> {
    let path = DocumentPath::root().key("sites");
    match spec.sites.len() {
        0 => {
            return Err(document
                .error(&path, "there are no sites")
                .with_help("write at least one, such as `- {name: virginia, hosts: 2}`"));
        }
        count if count > MOST_SITES => {
            let path = path.index(MOST_SITES);
            return Err(document.error(
                &path,
                format!("{count} sites are too many: the address plan has room for {MOST_SITES}"),
            ));
        }
        _ => {}
    }
    let mut sites: Vec<Site> = Vec::with_capacity(spec.sites.len());
    for (index, each) in spec.sites.iter().enumerate() {
        let site = site(document, spec, &path.index(index), each)?;
        if let Some(first) = sites.iter().position(|known| known.name == site.name) {
            return Err(document
                .error(
                    &path.index(index).key("name"),
                    format!("there are two sites named `{}`", site.name),
                )
                .with_help(format!("entry {first} of `sites` has that name already")));
        }
        sites.push(site);
    }
    Ok(sites)
}

fn site(
    document: &Document,
    spec: &TopologySpec,
    path: &DocumentPath,
    site: &SiteSpec,
) -> Result<Site, InputError> {
    if let Some(fault) = fault_of_name(&site.name, LONGEST_NAME) {
        return Err(document.error(&path.key("name"), fault));
    }
    let defaults = spec.defaults.as_ref();
    let default_path = DocumentPath::root().key("defaults");
    let (hosts, hosts_path) = match (site.hosts, defaults.and_then(|defaults| defaults.hosts)) {
        (Some(hosts), _) => (hosts, path.key("hosts")),
        (None, Some(hosts)) => (hosts, default_path.key("hosts")),
        (None, None) => (1, path.clone()),
    };
    if !(1..=MOST_HOSTS).contains(&hosts) {
        let message = format!(
            "{hosts} hosts: a site has 1 to {MOST_HOSTS}, for which the address plan has room"
        );
        return Err(document.error(&hosts_path, message));
    }
    let fabric_rate = |fabric: Option<FabricSpec>| fabric.and_then(|fabric| fabric.rate);
    let rate = match (
        fabric_rate(site.fabric),
        fabric_rate(defaults.and_then(|defaults| defaults.fabric)),
    ) {
        (Some(rate), _) => Some((rate, path)),
        (None, Some(rate)) => Some((rate, &default_path)),
        (None, None) => None,
    };
    if let Some((rate, path)) = rate {
        check_rate(document, &path.key("fabric").key("rate"), rate)?;
    }
    Ok(Site {
        name: site.name.clone(),
        place: site.place.clone(),
        coordinates: coordinates(document, path, site)?,
        hosts,
        fabric: Fabric {
            rate: rate.map(|(rate, _)| rate),
        },
    })
}

fn coordinates(
    document: &Document,
    path: &DocumentPath,
    site: &SiteSpec,
) -> Result<Option<Coordinates>, InputError> {
    let check = |key: &str, degrees: f64, most: f64| {
        // A NaN is outside too.
        if (-most..=most).contains(&degrees) {
            return Ok(());
        }
        Err(document.error(
            &path.key(key),
            format!("a {key} of {degrees} is not on Earth: it is −{most} to {most} degrees"),
        ))
    };
    match (site.latitude, site.longitude) {
        (None, None) => Ok(None),
        (Some(latitude), Some(longitude)) => {
            check("latitude", latitude, 90.0)?;
            check("longitude", longitude, 180.0)?;
            Ok(Some(Coordinates {
                latitude,
                longitude,
            }))
        }
        (Some(_), None) => Err(document.error(
            &path.key("latitude"),
            "there is a latitude but no longitude",
        )),
        (None, Some(_)) => Err(document.error(
            &path.key("longitude"),
            "there is a longitude but no latitude",
        )),
    }
}
