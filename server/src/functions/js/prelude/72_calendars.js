// Dates of calendars other than the Gregorian one, in digits: what libraries of dates ask for.
(() => {
  $.part([], ["calendars"], () => {
    const isLeap = (year) => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
    const BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const dayOfYear = ({ year, month, day }) => BEFORE_MONTH[month] + day - 1 + (month > 1 && isLeap(year) ? 1 : 0);

    // The national calendar of India. Its year begins on the 81st day of the Gregorian one.
    const indian = (moment) => {
      const passed = dayOfYear(moment) - 80;
      const year = moment.year - 78 - (passed < 0 ? 1 : 0);
      const first = isLeap(year + 78) ? 31 : 30;
      const lengths = [first, 31, 31, 31, 31, 31, 30, 30, 30, 30, 30, 30];
      let left = passed < 0 ? passed + (isLeap(year + 78) ? 366 : 365) : passed;
      let month = 0;
      while (left >= lengths[month]) left -= lengths[month++];
      return { year, month, day: left + 1 };
    };

    return { calendars: { indian } };
  });
})();
