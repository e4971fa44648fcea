//! What Heroku's API has no words for. All of it stands below `/renga`, or an app's `/renga`.

use renga_engine::operations::{DynoUse, Standing, Why};
use renga_model::App;
use renga_wire as wire;

use crate::{
    answer::{Answered, ok},
    call::Call,
};

pub(crate) async fn why(call: Call) -> Answered {
    let app = call.app()?;
    ok(&why_shown(app, call.state.engine.why(app.id, None).await?))
}

pub(crate) async fn why_dyno(call: Call) -> Answered {
    let app = call.app()?;
    ok(&why_shown(app, call.state.engine.why(app.id, Some(call.param("dyno")?)).await?))
}

pub(crate) async fn usage(call: Call) -> Answered {
    let used = call.state.engine.usage(call.app()?.id).await?;
    let shown = |used: &DynoUse| {
        wire::DynoUsage::new(&used.dyno, used.memory_bytes, used.memory_quota_bytes, used.cpu_percent)
    };
    ok(&used.iter().map(shown).collect::<Vec<_>>())
}

fn why_shown(app: &App, why: Why) -> wire::Why {
    let decisions = why.decisions.into_iter().map(|decision| wire::WhyDecision {
        at: decision.at.into(),
        dyno: decision.dyno.to_string(),
        action: decision.action.as_str().into(),
        reason: decision.reason,
    });
    wire::Why {
        app: wire::NameId::of(app),
        release: why.release,
        dynos: why.dynos.into_iter().map(dyno_shown).collect(),
        decisions: decisions.collect(),
        decisions_since: why.since.into(),
    }
}

fn dyno_shown(standing: Standing) -> wire::WhyDyno {
    let seen = standing.seen.map(|seen| wire::WhySeen {
        state: seen.state.into(),
        release: seen.release,
        since: seen.since.into(),
    });
    wire::WhyDyno {
        name: standing.name.to_string(),
        wanted: standing.wanted,
        seen,
        because: standing.because,
        next_at: standing.next_at.map(Into::into),
    }
}
