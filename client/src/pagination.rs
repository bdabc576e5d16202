//! A query watched page by page: pages stay put while documents come and go, and are split when they have grown.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vestibule_schema::{Object, Value, from_value};

use crate::args::to_args;
use crate::error::{CallError, FunctionError};
use crate::handle::Handle;
use crate::session::Scope;
use crate::subscription::{Shown, Subscription, SubscriptionError, read};

/// The shown state of a paginated query: all pages so far as one list, of one state of the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Pages<T> {
    /// The documents of all pages, in order.
    pub items: Vec<T>,
    /// Whether [`Pagination::load_more`] would bring more. Never while it already does.
    pub has_more: bool,
    /// Whether a page that was asked for has not come yet.
    pub is_loading: bool,
}

/// Why the pages cannot be shown: what [`SubscriptionError`] says of one of them.
pub type PaginationError = SubscriptionError;

/// Times in a row that the pages start over. A query that never takes even the first cursor of its own would be asked
/// for ever.
const RESTARTS_MAX: u32 = 10;

/// The answer of a paginated query.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageAnswer {
    page: Vec<Value>,
    is_done: bool,
    continue_cursor: String,
    #[serde(default)]
    split_cursor: Option<String>,
    #[serde(default)]
    page_status: Option<String>,
}

/// The `paginationOpts` argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PaginationOptions {
    num_items: f64,
    /// Null is the beginning, so it must be there.
    cursor: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_cursor: Option<String>,
    /// Tells the pages of one view from those of another, which may have other borders.
    id: f64,
}

struct Page {
    cursor: Option<String>,
    watched: Subscription<PageAnswer>,
    /// The two halves that take its place once both have a result.
    halves: Option<Box<[Page; 2]>>,
}

/// A query watched page by page: a stream of [`Pages`]. The function takes a `paginationOpts` argument beside its own
/// and returns a page of documents.
///
/// The function may begin to run another query, such as when a document that it reads changes. Then its earlier cursors
/// mean nothing, and the pages start over: the next result is the first page of the new query.
///
/// ```no_run
/// # async fn run(client: vestibule_client::Client<vestibule_client::Provisioned>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt;
/// use vestibule_client::{Value, object};
///
/// let channel = object! { "channel" => "general" };
/// let mut messages = client.paginate::<Value>("messages:page", channel, 20)?;
/// while let Some(pages) = messages.next().await {
///     let pages = pages?;
///     println!("{} messages", pages.items.len());
///     if pages.has_more {
///         messages.load_more();
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pagination<T> {
    handle: Handle,
    scope: Scope,
    path: String,
    args: Object,
    page_size: u32,
    id: f64,
    pages: Vec<Page>,
    /// Times in a row that the pages started over without showing anything.
    restarts: u32,
    /// Wakes the stream after [`Pagination::load_more`].
    has_news: bool,
    is_over: bool,
    items: std::marker::PhantomData<fn() -> T>,
}

impl<T> Pagination<T> {
    pub(crate) fn new(
        handle: Handle,
        scope: Scope,
        path: &str,
        args: &impl Serialize,
        page_size: u32,
    ) -> Result<Pagination<T>, CallError> {
        let mut pagination = Pagination {
            id: handle.inbox().next_id() as f64,
            handle,
            scope,
            path: path.to_string(),
            args: to_args(args)?,
            page_size,
            pages: Vec::new(),
            restarts: 0,
            has_news: false,
            is_over: false,
            items: std::marker::PhantomData,
        };
        let first = pagination.watch(None, None)?;
        pagination.pages.push(first);
        Ok(pagination)
    }

    fn watch(&self, cursor: Option<String>, end: Option<String>) -> Result<Page, CallError> {
        let options = PaginationOptions {
            num_items: f64::from(self.page_size),
            cursor: cursor.clone().map_or(Value::Null, Value::String),
            end_cursor: end,
            id: self.id,
        };
        let mut args = self.args.clone();
        args.insert(
            "paginationOpts".to_string(),
            Value::Object(to_args(&options)?),
        );
        let watched = self.handle.subscribe(self.scope, &self.path, &args)?;
        Ok(Page {
            cursor,
            watched,
            halves: None,
        })
    }

    /// Asks for another page after the last. Does nothing while one is on its way, or when there is none.
    pub fn load_more(&mut self) {
        let Some(Some(Ok(last))) = self.pages.last().map(Page::latest) else {
            return;
        };
        if last.is_done {
            return;
        }
        if let Ok(next) = self.watch(Some(last.continue_cursor), None) {
            self.pages.push(next);
            self.has_news = true;
        }
    }

    /// Lets a page that has grown be replaced by two, and puts halves in place that are complete.
    fn rearrange(&mut self) {
        let mut index = 0;
        while index < self.pages.len() {
            if let Some(halves) = self.pages[index].take_ready_halves() {
                self.pages.splice(index..=index, halves);
                index += 2;
                continue;
            }
            let page = &self.pages[index];
            if page.halves.is_none()
                && let Some(Ok(answer)) = page.latest()
                && let Some(split) = self.split_at(&answer)
            {
                let first = self.watch(page.cursor.clone(), Some(split.clone()));
                let second = self.watch(Some(split), Some(answer.continue_cursor));
                if let (Ok(first), Ok(second)) = (first, second) {
                    self.pages[index].halves = Some(Box::new([first, second]));
                }
            }
            index += 1;
        }
    }

    fn split_at(&self, answer: &PageAnswer) -> Option<String> {
        let is_asked = matches!(
            answer.page_status.as_deref(),
            Some("SplitRecommended" | "SplitRequired")
        );
        let has_grown = answer.page.len() > 2 * self.page_size as usize;
        answer
            .split_cursor
            .clone()
            .filter(|_| is_asked || has_grown)
    }

    /// The first page again: the cursors do not fit the query any more.
    fn start_over(&mut self) -> Result<(), CallError> {
        self.restarts += 1;
        self.id = self.handle.inbox().next_id() as f64;
        self.pages = vec![self.watch(None, None)?];
        Ok(())
    }
}

impl Page {
    fn latest(&self) -> Option<Result<PageAnswer, SubscriptionError>> {
        read(self.watched.shown())
    }

    fn has_invalid_cursor(&self) -> bool {
        let halves = self.halves.as_deref().into_iter().flatten();
        let is_invalid = match self.latest() {
            Some(Err(SubscriptionError::Function(error))) => is_invalid_cursor(&error),
            Some(_) | None => false,
        };
        is_invalid || halves.into_iter().any(Page::has_invalid_cursor)
    }

    /// The two halves, once both have a result.
    fn take_ready_halves(&mut self) -> Option<[Page; 2]> {
        let halves = self.halves.as_ref()?;
        let are_ready = halves.iter().all(|half| half.latest().is_some());
        are_ready.then(|| self.halves.take().map(|halves| *halves))?
    }

    fn poll_news(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_news = false;
        while let Poll::Ready(Some(_)) = self.watched.poll_next_unpin(cx) {
            has_news = true;
        }
        for half in self.halves.iter_mut().flat_map(|halves| halves.iter_mut()) {
            has_news |= half.poll_news(cx);
        }
        has_news
    }
}

impl<T: DeserializeOwned> Pagination<T> {
    /// The pages shown now; `None` before the first page has come, the first one again if the pages start over.
    pub fn latest(&self) -> Option<Result<Pages<T>, PaginationError>> {
        if self.must_start_over() {
            return None;
        }
        let shown = self.snapshot();
        let mut items = Vec::new();
        let mut is_done = false;
        let mut has_any = false;
        let mut is_loading = false;
        for shown in shown {
            let answer = match read::<PageAnswer>(shown) {
                None => {
                    is_loading = true;
                    break;
                }
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(answer)) => answer,
            };
            has_any = true;
            is_done = answer.is_done;
            for item in answer.page {
                match from_value(item) {
                    Ok(item) => items.push(item),
                    Err(error) => return Some(Err(SubscriptionError::Result(error))),
                }
            }
        }
        has_any.then_some(Ok(Pages {
            items,
            has_more: !is_done && !is_loading,
            is_loading,
        }))
    }

    /// All pages as of one state: none is replaced while they are read.
    fn snapshot(&self) -> Vec<Shown> {
        let _at_once = self
            .handle
            .shared()
            .publication
            .read()
            .expect("nothing panics while results are shown");
        self.pages.iter().map(|page| page.watched.shown()).collect()
    }

    /// Whether a page says that its cursor belongs to another query: its first cursor, or the one at which it ended
    /// before.
    fn must_start_over(&self) -> bool {
        self.restarts < RESTARTS_MAX && self.pages.iter().any(Page::has_invalid_cursor)
    }
}

fn is_invalid_cursor(error: &FunctionError) -> bool {
    let fields = error.data.as_ref().and_then(Value::as_object);
    let field = |name: &str| fields.and_then(|fields| fields.get(name));
    let is_said = field("paginationError").and_then(Value::as_str) == Some("InvalidCursor")
        && field("isConvexSystemError").and_then(Value::as_bool) == Some(true);
    is_said || error.message.contains("InvalidCursor")
}

impl<T: DeserializeOwned> Stream for Pagination<T> {
    type Item = Result<Pages<T>, PaginationError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut has_news = std::mem::take(&mut self.has_news);
        loop {
            let mut has_more_news = false;
            for page in &mut self.pages {
                has_more_news |= page.poll_news(cx);
            }
            if !has_more_news {
                break;
            }
            has_news = true;
            if self.must_start_over() && self.start_over().is_ok() {
                continue;
            }
            if let Some(Some(Ok(_))) = self.pages.first().map(Page::latest) {
                self.restarts = 0;
            }
            self.rearrange();
        }
        if !has_news {
            return Poll::Pending;
        }
        match self.latest() {
            None => Poll::Pending,
            Some(item) => {
                self.is_over = matches!(
                    &item,
                    Err(SubscriptionError::LoginEnded(_) | SubscriptionError::Closed(_))
                );
                Poll::Ready(Some(item))
            }
        }
    }
}

impl<T> Unpin for Pagination<T> {}

impl<T> fmt::Debug for Pagination<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pagination")
            .field("path", &self.path)
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}
