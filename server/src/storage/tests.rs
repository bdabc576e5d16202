//! What a store promises at its edges: opening, damage, a full disk, and who may read while what is moved.
