//! Conversion of plain data between values of functions and their JSON, as the package `convex` does it in JavaScript.
//!
//! Plain data needs no encoding and can be read without running anything. It is null, booleans, finite numbers, strings, arrays without
//! holes, and objects of data properties with good names. Anything else makes the answer `undefined`. Nothing has run by then, so the
//! package's own code starts from the same state and has the last word, errors included.

use std::slice::from_raw_parts;

use rquickjs_sys as qjs;

/// Deeper values are left to the package.
const DEPTH_MAX: usize = 100;
/// As the package has it.
const NAME_BYTES_MAX: usize = 1024;

/// Which function of the package is meant.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    /// `convexToJson`, or `patchValueToJson`, which keeps fields of the topmost object that are undefined.
    ToJson { keeps_undefined: bool },
    /// `jsonToConvex`.
    FromJson,
}

/// Why there is no converted value.
enum Stop {
    NotPlain,
    /// The engine threw, as a rule for want of memory.
    Threw,
}

/// One property of an object that is being converted. The name's text is the engine's.
struct Property {
    atom: qjs::JSAtom,
    name: (*const u8, usize),
    value: qjs::JSValue,
}

struct Conversion {
    context: *mut qjs::JSContext,
    object_class: qjs::JSClassID,
    object_prototype: qjs::JSValue,
    array_prototype: qjs::JSValue,
    direction: Direction,
    /// Properties of the objects that are under way, the innermost last.
    properties: Vec<Property>,
    /// Elements of the arrays that are under way, the innermost last.
    elements: Vec<qjs::JSValue>,
}

/// The converted value, `JS_UNDEFINED` if the value is not plain, `JS_EXCEPTION` if the engine threw.
///
/// # Safety
///
/// The context lives, the box is not armed, and the value is one of this engine's.
pub(crate) unsafe fn convert(
    context: *mut qjs::JSContext,
    value: qjs::JSValue,
    direction: Direction,
) -> qjs::JSValue {
    if let Some(same) = unconverted(value, direction) {
        // SAFETY: the value is one of this engine's.
        return unsafe { same.map_or(qjs::JS_UNDEFINED, |same| qjs::JS_DupValue(context, same)) };
    }
    // SAFETY: what the caller promises. The samples and prototypes are freed here.
    unsafe {
        let (object, array) = (qjs::JS_NewObject(context), qjs::JS_NewArray(context));
        let (object_class, array_class) = (qjs::JS_GetClassID(object), qjs::JS_GetClassID(array));
        qjs::JS_FreeValue(context, object);
        qjs::JS_FreeValue(context, array);
        if qjs::JS_IsException(object) || qjs::JS_IsException(array) {
            return qjs::JS_EXCEPTION;
        }
        let mut conversion = Conversion {
            context,
            object_class,
            object_prototype: qjs::JS_GetClassProto(context, object_class),
            array_prototype: qjs::JS_GetClassProto(context, array_class),
            direction,
            properties: Vec::new(),
            elements: Vec::new(),
        };
        let result = conversion.convert(value, 0);
        qjs::JS_FreeValue(context, conversion.object_prototype);
        qjs::JS_FreeValue(context, conversion.array_prototype);
        match result {
            Ok(value) => value,
            Err(Stop::NotPlain) => qjs::JS_UNDEFINED,
            Err(Stop::Threw) => qjs::JS_EXCEPTION,
        }
    }
}

/// A value that is its own conversion, or `Some(None)` for one that is not plain. Nothing for an object.
fn unconverted(value: qjs::JSValue, direction: Direction) -> Option<Option<qjs::JSValue>> {
    // SAFETY: each reading of the union follows the tag.
    let is_plain = unsafe {
        match qjs::JS_VALUE_GET_NORM_TAG(value) {
            qjs::JS_TAG_OBJECT => return None,
            qjs::JS_TAG_NULL
            | qjs::JS_TAG_BOOL
            | qjs::JS_TAG_INT
            | qjs::JS_TAG_STRING
            | qjs::JS_TAG_STRING_ROPE => true,
            qjs::JS_TAG_FLOAT64 if direction == Direction::FromJson => true,
            qjs::JS_TAG_FLOAT64 => {
                let number = qjs::JS_VALUE_GET_FLOAT64(value);
                number.is_finite() && (number != 0.0 || number.is_sign_positive())
            }
            _ => false,
        }
    };
    Some(is_plain.then_some(value))
}

/// Whether the package accepts the name of a field, and an assignment makes one of it.
fn is_good_name(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.first() != Some(&b'$')
        && name.iter().all(|byte| (32..127).contains(byte))
        && name != b"__proto__"
}

impl Property {
    fn name(&self) -> &[u8] {
        // SAFETY: the text belongs to the property until `drop_properties` frees it.
        unsafe { from_raw_parts(self.name.0, self.name.1) }
    }
}

/// The names of an object's own properties, freed at the end.
struct Names {
    context: *mut qjs::JSContext,
    table: *mut qjs::JSPropertyEnum,
    count: u32,
}

impl Names {
    /// # Safety
    ///
    /// The value is an object of this engine that is neither a proxy nor otherwise exotic.
    unsafe fn of(
        context: *mut qjs::JSContext,
        object: qjs::JSValue,
        flags: u32,
    ) -> Result<Names, Stop> {
        let (mut table, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: what the caller promises.
        let answer = unsafe {
            qjs::JS_GetOwnPropertyNames(
                context,
                &raw mut table,
                &raw mut count,
                object,
                flags as i32,
            )
        };
        if answer < 0 {
            return Err(Stop::Threw);
        }
        Ok(Names {
            context,
            table,
            count,
        })
    }

    fn as_slice(&self) -> &[qjs::JSPropertyEnum] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: the engine made a table of this length, which lives as long as this.
        unsafe { from_raw_parts(self.table, self.count as usize) }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // SAFETY: the table came from this context.
        unsafe { qjs::JS_FreePropertyEnum(self.context, self.table, self.count) };
    }
}

impl Conversion {
    /// Converts one value and all that it holds. The caller owns the result.
    unsafe fn convert(&mut self, value: qjs::JSValue, depth: usize) -> Result<qjs::JSValue, Stop> {
        // SAFETY: what the caller of `convert` promises holds for every value that it holds.
        unsafe {
            if let Some(same) = unconverted(value, self.direction) {
                return same
                    .map(|same| qjs::JS_DupValue(self.context, same))
                    .ok_or(Stop::NotPlain);
            }
            if depth > DEPTH_MAX {
                return Err(Stop::NotPlain);
            }
            let is_array = qjs::JS_IsArray(value);
            if !is_array && qjs::JS_GetClassID(value) != self.object_class {
                return Err(Stop::NotPlain);
            }
            // Neither class has a trap for this.
            let prototype = qjs::JS_GetPrototype(self.context, value);
            qjs::JS_FreeValue(self.context, prototype);
            let expected = match is_array {
                true => self.array_prototype,
                false => self.object_prototype,
            };
            let is_expected = qjs::JS_IsObject(prototype)
                && qjs::JS_VALUE_GET_PTR(prototype) == qjs::JS_VALUE_GET_PTR(expected);
            if is_array && is_expected {
                return self.array(value, depth);
            }
            if !is_array && (is_expected || qjs::JS_IsNull(prototype)) {
                return self.object(value, depth);
            }
            Err(Stop::NotPlain)
        }
    }

    /// The value of an own property that is one, or of which there is none any more.
    unsafe fn data(&self, object: qjs::JSValue, atom: qjs::JSAtom) -> Result<qjs::JSValue, Stop> {
        let mut found = qjs::JSPropertyDescriptor {
            flags: 0,
            value: qjs::JS_UNDEFINED,
            getter: qjs::JS_UNDEFINED,
            setter: qjs::JS_UNDEFINED,
        };
        // SAFETY: the object is an ordinary one of this engine; what the descriptor holds is ours.
        unsafe {
            match qjs::JS_GetOwnProperty(self.context, &raw mut found, object, atom) {
                0 => return Err(Stop::NotPlain),
                1 => {}
                _ => return Err(Stop::Threw),
            }
            if found.flags & qjs::JS_PROP_GETSET as i32 == 0 {
                return Ok(found.value);
            }
            qjs::JS_FreeValue(self.context, found.getter);
            qjs::JS_FreeValue(self.context, found.setter);
            Err(Stop::NotPlain)
        }
    }

    unsafe fn array(&mut self, array: qjs::JSValue, depth: usize) -> Result<qjs::JSValue, Stop> {
        let flags = qjs::JS_GPN_STRING_MASK | qjs::JS_GPN_SYMBOL_MASK;
        let start = self.elements.len();
        // SAFETY: an array of this engine's.
        let outcome = unsafe {
            let names = Names::of(self.context, array, flags)?;
            self.elements_of(array, &names, depth)
        };
        let made = self.elements.split_off(start);
        // SAFETY: the new array takes the elements over; without one they are freed here.
        unsafe {
            match outcome {
                Ok(()) => {
                    let array =
                        qjs::JS_NewArrayFrom(self.context, made.len() as i32, made.as_ptr());
                    if qjs::JS_IsException(array) {
                        return Err(Stop::Threw);
                    }
                    Ok(array)
                }
                Err(stop) => {
                    for element in made {
                        qjs::JS_FreeValue(self.context, element);
                    }
                    Err(stop)
                }
            }
        }
    }

    /// Puts the converted elements on the stack. The names have to be those of an array without holes: its places, then its length.
    unsafe fn elements_of(
        &mut self,
        array: qjs::JSValue,
        names: &Names,
        depth: usize,
    ) -> Result<(), Stop> {
        let mut length = 0;
        // SAFETY: an array of this engine's, whose length is a data property.
        if unsafe { qjs::JS_GetLength(self.context, array, &raw mut length) } < 0 {
            return Err(Stop::Threw);
        }
        let names = names.as_slice();
        if usize::try_from(length).ok() != names.len().checked_sub(1) {
            return Err(Stop::NotPlain);
        }
        for (position, name) in (0..).zip(&names[..names.len() - 1]) {
            // SAFETY: what is read is freed.
            unsafe {
                let atom = qjs::JS_NewAtomUInt32(self.context, position);
                qjs::JS_FreeAtom(self.context, atom);
                if atom != name.atom {
                    return Err(Stop::NotPlain);
                }
                let element = self.data(array, atom)?;
                let converted = self.convert(element, depth + 1);
                qjs::JS_FreeValue(self.context, element);
                self.elements.push(converted?);
            }
        }
        Ok(())
    }

    unsafe fn object(&mut self, object: qjs::JSValue, depth: usize) -> Result<qjs::JSValue, Stop> {
        let flags = qjs::JS_GPN_STRING_MASK | qjs::JS_GPN_ENUM_ONLY;
        let start = self.properties.len();
        // SAFETY: an ordinary object of this engine's. The names keep their atoms until the new object has them.
        unsafe {
            let names = Names::of(self.context, object, flags)?;
            let outcome = self
                .properties_of(object, &names, depth)
                .and_then(|()| self.made_of(start));
            self.drop_properties(start);
            outcome
        }
    }

    /// Puts the converted properties on the stack.
    unsafe fn properties_of(
        &mut self,
        object: qjs::JSValue,
        names: &Names,
        depth: usize,
    ) -> Result<(), Stop> {
        for name in names.as_slice() {
            // SAFETY: what is read is freed.
            unsafe {
                let value = self.data(object, name.atom)?;
                let converted = match self.direction {
                    Direction::ToJson { keeps_undefined } if qjs::JS_IsUndefined(value) => {
                        if depth > 0 || !keeps_undefined {
                            continue;
                        }
                        self.undefined()
                    }
                    _ => self.convert(value, depth + 1),
                };
                qjs::JS_FreeValue(self.context, value);
                self.push(name.atom, converted?)?;
            }
        }
        Ok(())
    }

    /// `{ $undefined: null }`
    unsafe fn undefined(&self) -> Result<qjs::JSValue, Stop> {
        let flags = qjs::JS_PROP_C_W_E as i32;
        // SAFETY: the object is made here.
        unsafe {
            let object = qjs::JS_NewObject(self.context);
            if qjs::JS_IsException(object) {
                return Err(Stop::Threw);
            }
            let name = c"$undefined".as_ptr();
            if qjs::JS_DefinePropertyValueStr(self.context, object, name, qjs::JS_NULL, flags) < 0 {
                qjs::JS_FreeValue(self.context, object);
                return Err(Stop::Threw);
            }
            Ok(object)
        }
    }

    /// Puts one property on the stack, which takes over the value.
    unsafe fn push(&mut self, atom: qjs::JSAtom, value: qjs::JSValue) -> Result<(), Stop> {
        let mut length: qjs::size_t = 0;
        // SAFETY: the atom is that of a name that lives. The text is freed with the property.
        let text = unsafe { qjs::JS_AtomToCStringLen(self.context, &raw mut length, atom) };
        if text.is_null() {
            // SAFETY: the value is ours.
            unsafe { qjs::JS_FreeValue(self.context, value) };
            return Err(Stop::Threw);
        }
        let property = Property {
            atom,
            name: (text.cast(), length as usize),
            value,
        };
        let is_good = is_good_name(property.name());
        self.properties.push(property);
        if is_good { Ok(()) } else { Err(Stop::NotPlain) }
    }

    /// A new object of the properties from `start` on, as assignments in their order would make it.
    unsafe fn made_of(&mut self, start: usize) -> Result<qjs::JSValue, Stop> {
        let properties = &mut self.properties[start..];
        if self.direction != Direction::FromJson
            && !properties.is_sorted_by(|one, other| one.name() <= other.name())
        {
            properties.sort_by(|one, other| one.name().cmp(other.name()));
        }
        // SAFETY: the object is made here; each value is given away once.
        unsafe {
            let object = qjs::JS_NewObject(self.context);
            if qjs::JS_IsException(object) {
                return Err(Stop::Threw);
            }
            for property in properties {
                let value = std::mem::replace(&mut property.value, qjs::JS_UNDEFINED);
                let flags = qjs::JS_PROP_C_W_E as i32;
                if qjs::JS_DefinePropertyValue(self.context, object, property.atom, value, flags)
                    < 0
                {
                    qjs::JS_FreeValue(self.context, object);
                    return Err(Stop::Threw);
                }
            }
            Ok(object)
        }
    }

    unsafe fn drop_properties(&mut self, start: usize) {
        for property in self.properties.drain(start..) {
            // SAFETY: the text came from this context; the value is ours or was given away.
            unsafe {
                qjs::JS_FreeCString(self.context, property.name.0.cast());
                qjs::JS_FreeValue(self.context, property.value);
            }
        }
    }
}
