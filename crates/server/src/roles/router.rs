//! `renga router`: traffic, by the table that the server publishes. It holds no key of the platform: certificates are
//! asked for, one name at a time.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use renga_ports::SystemClock;
use renga_router::{Addresses, Config as RouterConfig, Limits, Listeners};

use crate::{config::Config, instance::Instance, layout::Layout, sockets};

/// Less than what `renga up` and systemd allow for a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// The sockets come from whoever started us, or are bound here.
pub(crate) async fn run(config: &Config, sockets_come: bool) -> Result<()> {
    let stop = super::stop_signal()?;
    let instance = Instance::load(&config.data_dir)?;
    let layout = Layout::new(&config.data_dir);
    let router = hand_config(config, &layout, &instance);
    let listeners = if sockets_come { sockets::receive()?.0 } else { Listeners::bind(&router)? };
    let file = layout.router_addresses();
    if !sockets_come {
        std::fs::remove_file(&file).ok();
    }
    let ready = |Addresses { http, tls }| {
        tracing::info!("router at {http} and {tls}");
        let fresh = file.with_extension("json.new");
        let text = serde_json::json!({ "http": http, "tls": tls }).to_string();
        if let Err(failed) = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &file)) {
            tracing::error!("could not write {}: {failed}", file.display());
        }
    };
    // Whoever has sent the sockets starts our successor then, if there is none yet.
    let leaving = || {
        if sockets_come {
            sockets::say_leaving();
        }
    };
    Ok(renga_router::run(router, listeners, stop, ready, leaving).await?)
}

pub(crate) fn hand_config(config: &Config, layout: &Layout, instance: &Instance) -> RouterConfig {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    RouterConfig {
        http: config.router,
        tls: config.router_tls,
        directory: layout.router(),
        certificates: layout.certificates_socket(),
        control_gid: Some(instance.group()),
        domain: config.domain.clone(),
        proxy_protocol: config.routing.proxy_protocol.clone(),
        trusted_proxies: config.routing.trusted_proxies.clone(),
        metrics: config.routing.metrics,
        threads: threads.min(sockets::SOCKETS_PER_PORT_MAX),
        drain_timeout: DRAIN_TIMEOUT,
        clock: Arc::new(SystemClock),
        limits: Limits::default(),
    }
}
