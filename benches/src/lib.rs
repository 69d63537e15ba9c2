//! What Runnel costs, beside raw quinn in the same run. There is no benchmark yet.
