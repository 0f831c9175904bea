//! The graph of needs between services: cycles are mistakes, the order of starts follows from it. Pure.

use std::collections::HashMap;
use std::sync::Arc;

/// What a service needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Its failure explains ours.
    pub hard: Vec<Arc<str>>,
    /// Its failure explains nothing.
    pub soft: Vec<Arc<str>>,
}

impl Needs {
    /// Returns hard and soft needs together.
    pub fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        self.hard.iter().chain(&self.soft)
    }
}

/// Returns the services so that everything comes after what it needs, otherwise in the given order.
///
/// # Errors
/// The cycle, as the names along it, the first one again at the end.
pub fn start_order(services: &[(Arc<str>, Needs)]) -> Result<Vec<Arc<str>>, Vec<Arc<str>>> {
    let needs: HashMap<&Arc<str>, &Needs> = services.iter().map(|(name, needs)| (name, needs)).collect();
    let mut order = Vec::with_capacity(services.len());
    let mut path = Vec::new();
    for (name, _) in services {
        visit(name, &needs, &mut order, &mut path)?;
    }
    Ok(order)
}

fn visit(
    name: &Arc<str>,
    needs: &HashMap<&Arc<str>, &Needs>,
    order: &mut Vec<Arc<str>>,
    path: &mut Vec<Arc<str>>,
) -> Result<(), Vec<Arc<str>>> {
    if order.contains(name) {
        return Ok(());
    }
    if let Some(start) = path.iter().position(|seen| seen == name) {
        let cycle = path.iter().skip(start).chain([name]).cloned();
        return Err(cycle.collect());
    }
    let Some(own) = needs.get(name) else { return Ok(()) };
    path.push(name.clone());
    for need in own.all() {
        visit(need, needs, order, path)?;
    }
    path.pop();
    order.push(name.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(text: &str) -> Vec<(Arc<str>, Needs)> {
        text.split_whitespace()
            .map(|item| {
                let (name, hard) = item.split_once(':').unwrap_or((item, ""));
                let hard = hard.split(',').filter(|need| !need.is_empty()).map(Into::into).collect();
                (name.into(), Needs { hard, soft: Vec::new() })
            })
            .collect()
    }

    #[test]
    fn everything_starts_after_what_it_needs() {
        assert_eq!(start_order(&graph("web:api api:db,cache db cache")).unwrap().join(" "), "db cache api web");
        assert_eq!(start_order(&graph("b a")).unwrap().join(" "), "b a");
    }

    #[test]
    fn a_cycle_is_named_along_its_way() {
        assert_eq!(start_order(&graph("x a:b b:c c:a")).unwrap_err().join(" "), "a b c a");
        assert_eq!(start_order(&graph("a:a")).unwrap_err().join(" "), "a a");
    }
}
