//! The inference engine from outside: deadlines, clients that leave, overload, another model taken over, a candidate.

mod candidate;
mod deadlines;
mod load;
mod overload;
mod reload;
