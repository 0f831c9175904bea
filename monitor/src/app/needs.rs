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
    let mut search = Search { needs, states: HashMap::new(), path: Vec::new(), order: Vec::new() };
    for (name, _) in services {
        search.enter(name)?;
        search.walk()?;
    }
    Ok(search.order)
}

/// A depth-first search with its own stack: a chain of needs may be longer than a thread's.
struct Search<'a> {
    needs: HashMap<&'a Arc<str>, &'a Needs>,
    states: HashMap<&'a Arc<str>, State>,
    /// The way down, each with the needs that are still to be looked at.
    path: Vec<(&'a Arc<str>, Box<dyn Iterator<Item = &'a Arc<str>> + 'a>)>,
    order: Vec<Arc<str>>,
}

#[derive(Clone, Copy)]
enum State {
    /// On the way down.
    Open,
    /// In the order.
    Done,
}

impl<'a> Search<'a> {
    fn walk(&mut self) -> Result<(), Vec<Arc<str>>> {
        while let Some((name, rest)) = self.path.last_mut() {
            let name = *name;
            if let Some(need) = rest.next() {
                self.enter(need)?;
                continue;
            }
            self.path.pop();
            self.states.insert(name, State::Done);
            self.order.push(name.clone());
        }
        Ok(())
    }

    /// Goes one step down, unless that is done or nobody's name.
    fn enter(&mut self, name: &'a Arc<str>) -> Result<(), Vec<Arc<str>>> {
        match (self.states.get(name), self.needs.get(name)) {
            (Some(State::Done), _) | (None, None) => Ok(()),
            (Some(State::Open), _) => {
                let way = self.path.iter().map(|(seen, _)| *seen).skip_while(|seen| *seen != name);
                Err(way.chain([name]).cloned().collect())
            }
            (None, Some(own)) => {
                self.states.insert(name, State::Open);
                self.path.push((name, Box::new(own.all())));
                Ok(())
            }
        }
    }
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

    #[test]
    fn a_chain_of_ten_thousand_fits_a_small_stack_and_ends_soon() {
        let chain = |last: &str| {
            let links = (0..9_999).map(|index| format!("s{index}:s{} ", index + 1));
            graph(&(links.collect::<String>() + last))
        };
        let search = move || {
            let order = start_order(&chain("s9999")).unwrap();
            assert_eq!((order.len(), &*order[0], &*order[9_999]), (10_000, "s9999", "s0"));
            let cycle = start_order(&chain("s9999:s0")).unwrap_err();
            assert_eq!((cycle.len(), &*cycle[0], &*cycle[10_000]), (10_001, "s0", "s0"));
        };
        std::thread::Builder::new().stack_size(256 * 1024).spawn(search).unwrap().join().unwrap();
    }
}
