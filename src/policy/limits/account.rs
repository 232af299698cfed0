//! A key's running state: what it has spent, and how much of it is in flight.
//!
//! Shared by all workers, and by the generations: the account of a new generation keeps its books in the same place, so
//! that nothing spent while a generation is being compiled is lost, and an unchanged window keeps its state. The lock is
//! held for the arithmetic of one decision, and not taken at all by a key without windows.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;

use super::seconds_up;
use super::window::{Cell, Standing, Window, Windows};
use crate::policy::refusal::Exceeded;

/// One key's limits in one generation, over books that outlive it.
#[derive(Debug)]
pub struct Account {
    windows: Arc<Windows>,
    concurrency: Option<u32>,
    books: Arc<Books>,
}

/// A place among the requests in flight; given back on drop.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Slot(Arc<Books>);

/// Where a key stands in each of its windows, in the plan's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each window.
    pub windows: SmallVec<[Standing; 3]>,
    /// Index of the window that refused, and that keeps the caller waiting longest.
    pub refused_by: Option<usize>,
}

/// Nothing was spent, because at least one window would not admit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where the key stands.
    pub report: Report,
    /// What to tell the caller.
    pub exceeded: Exceeded,
    /// Nanoseconds until the same request is admitted, if nobody else spends. For a request that costs more than may come
    /// at once, and so never is, the window's length.
    pub wait: u64,
}

#[derive(Debug)]
struct Books {
    in_flight: AtomicU32,
    pages: Mutex<Pages>,
}

/// The cells, laid out for the windows that asked last.
#[derive(Debug)]
struct Pages {
    windows: Arc<Windows>,
    cells: SmallVec<[Cell; 2]>,
    /// Cells of windows that other generations have, as long as they say something.
    elsewhere: Vec<(Window, Cell)>,
}

impl Account {
    /// A key that has spent nothing.
    #[must_use]
    pub fn new(windows: &Arc<Windows>, concurrency: Option<u32>) -> Arc<Self> {
        Arc::new(Self {
            windows: Arc::clone(windows),
            concurrency,
            books: Arc::new(Books {
                in_flight: AtomicU32::new(0),
                pages: Mutex::new(Pages {
                    windows: Arc::clone(windows),
                    cells: windows.iter().map(Window::cell).collect(),
                    elsewhere: Vec::new(),
                }),
            }),
        })
    }

    /// The same key in a new generation: the same account when nothing changed. Otherwise windows whose definition is
    /// unchanged (all of it: name and values) keep their state, others start whole, and requests in flight stay counted.
    #[must_use]
    pub fn renew(old: &Arc<Self>, windows: &Arc<Windows>, concurrency: Option<u32>) -> Arc<Self> {
        if old.concurrency == concurrency && (Arc::ptr_eq(&old.windows, windows) || old.windows == *windows) {
            return Arc::clone(old);
        }
        Arc::new(Self {
            windows: Arc::clone(windows),
            concurrency,
            books: Arc::clone(&old.books),
        })
    }

    /// Takes a place among the requests in flight; `None` when as many as `concurrency` are. Without that limit it still
    /// counts, so that a limit which comes with a reload knows of them.
    #[must_use]
    pub fn enter(&self) -> Option<Slot> {
        let most = self.concurrency.unwrap_or(u32::MAX);
        self.books
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < most).then(|| now + 1)
            })
            .ok()
            .map(|_| Slot(Arc::clone(&self.books)))
    }

    /// Whether [`Self::enter`] would find a place now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.concurrency.is_none_or(|most| self.in_flight() < most)
    }

    /// Requests and tunnels in flight, of all generations.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.books.in_flight.load(Ordering::Relaxed)
    }

    /// Spends `cost` units of every window at `now` (monotonic nanoseconds), or of none. A cost of 0 is always admitted.
    ///
    /// # Errors
    /// When a window would not admit it.
    pub fn spend(&self, cost: u32, now: u64) -> Result<Report, Box<Refused>> {
        self.decide(cost, now, true)
    }

    /// What [`Self::spend`] would say, without spending.
    ///
    /// # Errors
    /// When a window would not admit it.
    pub fn peek(&self, cost: u32, now: u64) -> Result<Report, Box<Refused>> {
        self.decide(cost, now, false)
    }

    fn decide(&self, cost: u32, now: u64, commit: bool) -> Result<Report, Box<Refused>> {
        if self.windows.is_empty() {
            return Ok(Report::default());
        }
        // A panic while the lock was held can at worst have lost one request's units.
        let mut pages = self.books.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = pages.open(&self.windows, now);

        let mut staged = SmallVec::<[Result<u64, u64>; 3]>::new();
        let mut longest: Option<(usize, &Window, u64)> = None;
        for (index, (window, cell)) in self.windows.iter().zip(cells.iter_mut()).enumerate() {
            let verdict = window.stage(cell, cost, now);
            if let Err(wait) = verdict
                && longest.is_none_or(|(_, _, so_far)| wait > so_far)
            {
                longest = Some((index, window, wait));
            }
            staged.push(verdict);
        }

        let mut report = Report {
            windows: SmallVec::new(),
            refused_by: longest.map(|(index, _, _)| index),
        };
        for ((window, cell), verdict) in self.windows.iter().zip(cells.iter_mut()).zip(staged) {
            if let (Ok(arrival), None, true) = (verdict, longest, commit) {
                window.commit(cell, cost, arrival, now);
            }
            let standing = window.standing(cell, now);
            report.windows.push(Standing {
                reset: verdict.err().unwrap_or(standing.reset),
                ..standing
            });
        }
        drop(pages);

        match longest {
            None => Ok(report),
            Some((_, window, wait)) => Err(Box::new(Refused {
                report,
                exceeded: Exceeded {
                    window: window.limit.name.clone(),
                    limit: window.limit.requests,
                    retry_after: seconds_up(wait).max(1),
                },
                wait,
            })),
        }
    }
}

impl Pages {
    /// The cells of `windows`, in their order.
    fn open(&mut self, windows: &Arc<Windows>, now: u64) -> &mut [Cell] {
        if !Arc::ptr_eq(&self.windows, windows) {
            self.turn(windows, now);
        }
        &mut self.cells
    }

    /// Lays the cells out anew: by definition, wherever they are. Those that nobody asks for now are kept until they are
    /// whole again, because a request of the generation before may still be deciding.
    fn turn(&mut self, windows: &Arc<Windows>, now: u64) {
        let Self {
            windows: before,
            cells,
            elsewhere,
        } = self;
        elsewhere.extend(before.iter().cloned().zip(cells.drain(..)));
        elsewhere.retain_mut(|(window, cell)| !window.is_whole(cell, now));
        for window in windows.iter() {
            let kept = elsewhere.iter().position(|(other, _)| other == window);
            cells.push(kept.map_or_else(|| window.cell(), |at| elsewhere.swap_remove(at).1));
        }
        *before = Arc::clone(windows);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
